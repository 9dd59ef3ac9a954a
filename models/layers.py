"""The parts with parameters: linear maps, tables, norms. Parameters keep the checkpoint's names and layout.

One numeric policy: products in the weight's dtype, sums and everything between float32. (bfloat16 products with a
bfloat16 result are slower on CPUs than float32: 195 against 437 GFLOP/s a core, measured at 512 x 384 x 1536.)
"""

import jax
import jax.numpy as jnp
from flax import nnx

from keytokens.models.ops import XLA, Join, Map, NormOf, Ops, xla_norm


def initial(rngs: nnx.Rngs | None, shape: tuple[int, int], scale: float) -> jax.Array:
    """A matrix to train from, N(0, scale); zeros without rngs, where a checkpoint will fill it."""
    return jnp.zeros(shape) if rngs is None else scale * jax.random.normal(rngs.params(), shape)


class Linear(nnx.Module):
    """A matrix in checkpoint layout, `weight` [out, in], with an optional `bias` [out]."""

    def __init__(self, size: int, out: int, *, biased: bool, rngs: nnx.Rngs | None, ops: Ops = XLA):
        self.weight = nnx.Param(initial(rngs, (out, size), size**-0.5))
        self.bias = nnx.Param(jnp.zeros(out)) if biased else None
        self.size, self.ops = out, ops

    def map(self) -> Map:
        """What `ops` computes with."""
        return Map(self.weight[...], None if self.bias is None else self.bias[...], self.size)

    def __call__(self, x: jax.Array, *, activation: str | None = None, join: Join | None = None) -> jax.Array:
        """[..., in] -> float32 [..., out]; an activation is of `ops.ACTIVATIONS`."""
        return self.ops.linears(x, [self.map()], activation=activation, join=join)[0]


class Table(nnx.Module):
    """Rows looked up by number: `weight` [rows, width]."""

    def __init__(self, rows: int, width: int, *, rngs: nnx.Rngs | None):
        self.weight = nnx.Param(initial(rngs, (rows, width), 0.02))

    def __call__(self, rows: jax.Array) -> jax.Array:
        """int [...] -> float32 [..., width]."""
        return self.weight[...][rows].astype(jnp.float32)


class Norm(nnx.Module):
    """RMS norm, or layer norm (centred, with a bias), over the last axis."""

    def __init__(self, width: int, *, kind: str, eps: float, offset: float):
        self.weight = nnx.Param(jnp.ones(width) - offset)
        self.bias = nnx.Param(jnp.zeros(width)) if kind == "layer" else None
        self.eps, self.offset = eps, offset

    def norm(self) -> NormOf:
        """What `ops` computes with."""
        weight = self.offset + self.weight[...].astype(jnp.float32)
        return NormOf(weight, None if self.bias is None else self.bias[...], self.eps)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., width] -> float32 [..., width]."""
        return xla_norm(x, self.norm())
