"""What the blocks of a backbone compute with: XLA's products and attention, or others that are handed in.

Letters: B rows, T tokens, S keys, N query heads, K key heads, H head size, I numbers in, O numbers out.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from keytokens.models import attention
from keytokens.models.dropout import Drop, keep

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


class Map(NamedTuple):
    """A linear map.

    Attributes:
      weight: [O, I] as checkpoints store it, or what `Ops.pack` made of it.
      bias: [O], or None.
      size: O.
    """

    weight: jax.Array
    bias: jax.Array | None
    size: int


class NormOf(NamedTuple):
    """A norm over the last axis.

    Attributes:
      weight: float32 [D].
      bias: float32 [D] of a layer norm; None: an RMS norm.
      eps: added to the variance, or the mean square.
    """

    weight: jax.Array
    bias: jax.Array | None
    eps: float


class Join(NamedTuple):
    """How a sub-layer's output y goes on: norm(added + drop(y)).

    Attributes:
      added: float32 [..., D], usually what the sub-layer read.
      norm: of the sum; None for none.
      drop: noise for training.
    """

    added: jax.Array
    norm: NormOf | None = None
    drop: Drop = keep


class LinearsOp(Protocol):
    """activation(x weight^T + bias) of several maps of one x."""

    def __call__(
        self, x: jax.Array, maps: Sequence[Map], *, activation: str | None = None, join: Join | None = None
    ) -> tuple[jax.Array, ...]:
        """float32 [..., O] each, from x [..., I]; a join belongs to a single map."""
        ...


class FeedForwardOp(Protocol):
    """down(activation(up(x))), or with a gate down(activation(gate(x)) * up(x))."""

    def __call__(
        self, x: jax.Array, up: Map, down: Map, *, gate: Map | None, activation: str | None, join: Join | None
    ) -> jax.Array:
        """float32 [..., D] from x [..., D]."""
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


def along_last(vector: jax.Array, like: jax.Array) -> jax.Array:
    """A vector [D] in float32, shaped so that it meets the last axis of `like` explicitly."""
    return vector.astype(jnp.float32).reshape((1,) * (like.ndim - 1) + vector.shape)


def xla_norm(x: jax.Array, norm: NormOf) -> jax.Array:
    """float32 [..., D] from [..., D]."""
    y = x.astype(jnp.float32)
    if norm.bias is not None:
        y = y - y.mean(-1, keepdims=True)
    y = y * jax.lax.rsqrt(jnp.square(y).mean(-1, keepdims=True) + norm.eps)
    y = y * along_last(norm.weight, y)
    return y if norm.bias is None else y + along_last(norm.bias, y)


def _joined(y: jax.Array, join: Join | None) -> jax.Array:
    if join is None:
        return y
    y = join.added + join.drop(y)
    return y if join.norm is None else xla_norm(y, join.norm)


def xla_linears(
    x: jax.Array, maps: Sequence[Map], *, activation: str | None = None, join: Join | None = None
) -> tuple[jax.Array, ...]:
    """Products in the weights' dtype, summed in float32."""
    assert join is None or len(maps) == 1, "a join belongs to a single map"
    results = []
    for weight, bias, _ in maps:
        y = jnp.einsum(
            "...i,oi->...o", x.astype(weight.dtype), weight, preferred_element_type=jnp.float32, precision=PRECISION
        )
        if bias is not None:
            y = y + along_last(bias, y)
        results.append(_joined(y if activation is None else ACTIVATIONS[activation](y), join))
    return tuple(results)


def xla_feed_forward(
    x: jax.Array, up: Map, down: Map, *, gate: Map | None, activation: str | None, join: Join | None
) -> jax.Array:
    """`xla_linears` one after the other."""
    if gate is None:
        (inside,) = xla_linears(x, [up], activation=activation)
    else:
        (inside,) = xla_linears(x, [gate], activation=activation)
        inside = inside * xla_linears(x, [up])[0]
    return xla_linears(inside, [down], join=join)[0]


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
      linears: of every block's projections.
      attend: of every block's attention to its own text.
      feed_forward: of every block.
      pack: from a linear map's weight, float32 [O, I] on the host, to what a `Map` holds; None where that is
        the weight in the embedder's dtype.
    """

    linears: LinearsOp = xla_linears
    attend: AttendOp = xla_attend
    feed_forward: FeedForwardOp = xla_feed_forward
    pack: Callable[[np.ndarray], np.ndarray] | None = None


XLA = Ops()
