"""The raw logits of a block of rows: the head applied, then bias, shift and mask, in this order.

Letters: R rows of the block, D hidden size, V vocabulary size, C candidates of a row.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

CONTRACT_LAST_AXES = (((1,), (1,)), ((), ()))


class Terms(NamedTuple):
    """What a token's logit has beside the product with its row of the head; each may be None.

    Attributes:
      bias: [V], added.
      direction: [V], the head applied to the direction that a shift removes.
      mask: bool [V], True where the token may be selected.
    """

    bias: jax.Array | None = None
    direction: jax.Array | None = None
    mask: jax.Array | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the logits are the plain products."""
        return self.bias is None and self.direction is None and self.mask is None


def raw_logits(rows: jax.Array, head: jax.Array, terms: Terms, coefficient: jax.Array | None) -> jax.Array:
    """Float32 [R, V] from rows [R, D], head [V, D] and the shift's coefficient [R]; masked tokens are -inf."""
    if rows.dtype != head.dtype:
        rows, head = rows.astype(jnp.float32), head.astype(jnp.float32)
    products = lax.dot_general(
        rows,
        head,
        CONTRACT_LAST_AXES,
        precision=lax.Precision.HIGHEST,  # no TF32 and no single bfloat16 pass
        preferred_element_type=jnp.float32,
    )
    if terms.is_empty:
        return products
    # The barrier makes every reader see the same bits: recomputed in two fusions, a * eu may be fused into one rounding
    # in the one and not in the other, and a maximum would exceed the values it was taken from.
    return lax.optimization_barrier(add_terms(products, terms, coefficient))


def add_terms(
    products: jax.Array, terms: Terms, coefficient: jax.Array | None, tokens: jax.Array | None = None
) -> jax.Array:
    """The products [R, V], or [R, C] of the candidates `tokens` [R, C], with bias, shift and mask."""

    def of_tokens(array: jax.Array) -> jax.Array:
        return array[None, :] if tokens is None else array[tokens]

    logits = products
    if terms.bias is not None:
        logits = logits + of_tokens(terms.bias.astype(jnp.float32))
    if terms.direction is not None:
        assert coefficient is not None
        logits = logits - coefficient.astype(jnp.float32)[:, None] * of_tokens(terms.direction.astype(jnp.float32))
    if terms.mask is not None:
        logits = jnp.where(of_tokens(terms.mask), logits, -jnp.inf)
    return logits


def tidy(logits: jax.Array) -> jax.Array:
    """The logits such that `lax.top_k`, which compares bits, orders them as promised.

    It ranks 0.0 above -0.0, and a NaN first or last by its sign; x86 makes inf - inf negative. After this zeros are
    equal and a NaN is first.
    """
    logits = jnp.where(logits == 0.0, 0.0, logits)
    return jnp.where(jnp.isnan(logits), jnp.nan, logits)
