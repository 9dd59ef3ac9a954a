"""Many shifts of the same embeddings, decoded with the head applied once.

Letters: B texts, D hidden size, V vocabulary size, J directions, L points of the sweep, k kept tokens.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from keytokens.kernels.arguments import check_head, check_hidden, check_options
from keytokens.kernels.logits import Terms, raw_logits
from keytokens.kernels.result import Options, TopK, finish, scale_and_cap
from keytokens.kernels.rows import map_blocks
from keytokens.kernels.selection import exact_topk


def topk_sweep(
    hidden: jax.Array,
    head: jax.Array,
    k: int,
    *,
    directions: jax.Array,
    coefficients: jax.Array,
    bias: jax.Array | None = None,
    scale: float = 1.0,
    softcap: float | None = None,
) -> TopK:
    """The k aligned tokens of `hidden + coefficients[l] @ directions` at every point l, selected as by `aligned_topk`.

    E (h + sum_j a_lj u_j) = E h + sum_j a_lj E u_j: the head is applied to the texts once and to the J directions once,
    whatever L is. Memory of a block of 128 texts: its logits twice, 256 V 4 bytes.

    Args:
      hidden: [B, D] float32 or bfloat16.
      head: [V, D] float32 or bfloat16.
      k: how many tokens to keep.
      directions: float32 [J, D].
      coefficients: float32 [L, J].
      bias: [V], added to every row's logits.
      scale: positive; the selected values are multiplied by it.
      softcap: as in `aligned_topk`.

    Returns:
      TopK(values [B, L, k], indices [B, L, k], logsumexp [B, L]).

    Raises:
      ValueError: an argument has a wrong shape, dtype or range.
    """
    check_head(head, bias, None)
    vocabulary, dim = head.shape
    check_hidden(hidden, (vocabulary, dim))
    check_options(k, head.shape[0], scale, softcap)
    if directions.ndim != 2 or directions.shape[1] != head.shape[1]:
        raise ValueError(f"directions has shape {directions.shape}; it must be [J, D={head.shape[1]}].")
    if coefficients.ndim != 2 or coefficients.shape[1] != directions.shape[0] or not len(coefficients):
        raise ValueError(f"coefficients has shape {coefficients.shape}; it must be [L >= 1, J={directions.shape[0]}].")
    options = Options(int(k), float(scale), None if softcap is None else float(softcap), with_logsumexp=True)
    return _sweep(options, hidden, head, bias, directions, coefficients)


@functools.partial(jax.jit, static_argnums=0)
def _sweep(
    options: Options,
    hidden: jax.Array,
    head: jax.Array,
    bias: jax.Array | None,
    directions: jax.Array,
    coefficients: jax.Array,
) -> TopK:
    offsets = _offsets(directions, coefficients, head)

    def select(block: jax.Array) -> TopK:
        logits = raw_logits(block, head, Terms(bias), None)

        def shifted(offset: jax.Array) -> TopK:
            # The barrier makes maxima and selected values the same bits, as in raw_logits.
            moved = lax.optimization_barrier(logits + offset[None, :])
            values, indices = exact_topk(moved, options.k)
            total = jax.nn.logsumexp(scale_and_cap(moved, options), axis=-1)
            return finish(values, indices, options, broken=jnp.isnan(values).any(axis=1), logsumexp=total)

        points = lax.map(shifted, offsets)
        return jax.tree.map(lambda array: jnp.swapaxes(array, 0, 1), points)

    result: TopK = map_blocks(select, hidden)
    return result


def _offsets(directions: jax.Array, coefficients: jax.Array, head: jax.Array) -> jax.Array:
    """What each point adds to the logits of all texts, float32 [L, V]; a point's bits do not depend on the others.

    One direction after the other: a direction with the coefficient zero then changes nothing.
    """

    def add(total: jax.Array, one: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        direction, coefficient = one
        along = raw_logits(jnp.stack([direction, direction]), head, Terms(), None)[0]
        return total + coefficient[:, None] * along[None, :], None

    nothing = jnp.zeros((coefficients.shape[0], head.shape[0]), jnp.float32)
    total, _ = lax.scan(add, nothing, (directions, coefficients.T))
    return total
