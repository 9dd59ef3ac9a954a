"""What the blocks of a backbone compute with: XLA's products and attention, or others that are handed in.

Letters: B rows, T tokens, S keys, N query heads, K key heads, H head size, I numbers in, O numbers out.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from keytokens.models import attention

# On accelerators the default precision of float32 products is TF32 or bfloat16; whoever asks for float32 gets it.
PRECISION = jax.lax.Precision.HIGHEST

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "silu": jax.nn.silu,
    "relu": jax.nn.relu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_new": partial(jax.nn.gelu, approximate=True),
    "gelu_pytorch_tanh": partial(jax.nn.gelu, approximate=True),
}


class Sight(NamedTuple):
    """Which keys each query sees.

    Attributes:
      mask: bool [B, T, S], the whole truth.
      segments: int32 [B, T], where queries and keys are the same tokens: a run of equal ids is a text, 0 is padding,
        and the mask is that of `attention.visible`. None otherwise.
      behind: how many tokens of its text before its own a query sees; None for all.
      ahead: how many after its own; None for all.
    """

    mask: jax.Array
    segments: jax.Array | None = None
    behind: int | None = None
    ahead: int | None = None


class LinearOp(Protocol):
    """activation(x weight^T + bias)."""

    def __call__(
        self, x: jax.Array, weight: jax.Array, bias: jax.Array | None, *, size: int, activation: str | None
    ) -> jax.Array:
        """float32 [..., O] from x [..., I], weight as `Ops.pack` made it, bias [O]; size is O."""
        ...


class AttendOp(Protocol):
    """Grouped-query attention."""

    def __call__(
        self,
        queries: jax.Array,
        keys: jax.Array,
        values: jax.Array,
        sight: Sight,
        *,
        bias: jax.Array | None,
        scale: float,
        softcap: float | None,
        dtype: jnp.dtype,
    ) -> jax.Array:
        """float32 [B, T, N * H] from queries [B, T, N, H], keys and values [B, S, K, H]; the rest as in
        `attention.attend`. `dtype` is the weights', of which XLA makes its products.
        """
        ...


def xla_linear(
    x: jax.Array, weight: jax.Array, bias: jax.Array | None, *, size: int, activation: str | None
) -> jax.Array:
    """A product in the weight's dtype, weight [O, I] as checkpoints store it, summed in float32."""
    del size
    y = jnp.einsum(
        "...i,oi->...o", x.astype(weight.dtype), weight, preferred_element_type=jnp.float32, precision=PRECISION
    )
    if bias is not None:
        y = y + bias.astype(jnp.float32).reshape((1,) * (y.ndim - 1) + bias.shape)
    return y if activation is None else ACTIVATIONS[activation](y)


def xla_attend(
    queries: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    sight: Sight,
    *,
    bias: jax.Array | None,
    scale: float,
    softcap: float | None,
    dtype: jnp.dtype,
) -> jax.Array:
    """`attention.attend` with products in `dtype`."""
    queries, keys, values = (array.astype(dtype) for array in (queries, keys, values))
    return attention.attend(
        queries, keys, values, sight.mask, bias=bias, scale=scale, softcap=softcap, precision=PRECISION
    )


@dataclasses.dataclass(frozen=True)
class Ops:
    """A set of operations that belong together.

    Attributes:
      linear: of every linear map of a block.
      attend: of every block's attention to its own text.
      pack: from a linear map's weight, float32 [O, I] on the host, to what `linear` multiplies by; None where that is
        the weight in the embedder's dtype.
    """

    linear: LinearOp = xla_linear
    attend: AttendOp = xla_attend
    pack: Callable[[np.ndarray], np.ndarray] | None = None


XLA = Ops()
