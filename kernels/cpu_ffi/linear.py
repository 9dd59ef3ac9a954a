"""Linear maps and feed-forward layers by products of 16-bit integers: at the speed of bfloat16, far more precise.

A row of the matrix and a row of what it multiplies are each cut into blocks of at most 64 numbers, and each block is
rounded to whole multiples of a step. Steps are so large that no block's norm exceeds 32,767, of a matrix 65,536: by
Cauchy and Schwarz no sum of products of two blocks exceeds 2^31, and the CPU's dot-product instruction (vpdpwssd of
AVX-512 VNNI, vpmaddwd of AVX2) adds them exactly in 32 bits, up to twice as many a cycle as it multiplies in float32.
Between blocks the sums are float32. The matrix has the finer steps because its errors are the same for all tokens of a
text, whose mean does not lessen them. What is multiplied has the smallest step for each of its blocks; the matrix has,
in every 32 rows, one for each row times one for each block (`packing.py`), so that the row's multiplies the sum of all
blocks once. Root mean square error of products of normal numbers, as a share of theirs: 8.1e-5, in bfloat16 2.4e-3, in
float32 4e-7.

A sum of integers is the same in whatever order it is taken, so a row's result does not depend on its neighbours.

Letters: R rows, I numbers in, O numbers out.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from keytokens.kernels.cpu_ffi.join import Join
from keytokens.kernels.cpu_ffi.library import require_packed
from keytokens.kernels.cpu_ffi.packing import packed_shape

# In the order of the enumeration in linear.cc.
ACTIVATIONS = (None, "relu", "gelu", "gelu_tanh", "silu")


class Packed(NamedTuple):
    """A linear map.

    Attributes:
      weight: from `pack_rows`.
      bias: float32 [O]; None for zeros.
      size: O.
    """

    weight: jax.Array
    bias: jax.Array | None
    size: int

    def arguments(self, inputs: int) -> tuple[jax.Array, jax.Array]:
        """Of the handler, which trusts their shapes.

        Raises:
          ValueError: the map does not take `inputs` numbers, or its bias has another size.
        """
        expected = packed_shape(self.size, inputs)
        if self.size and (self.weight.shape != expected or self.weight.dtype != jnp.int16):
            given = f"{self.weight.dtype}{list(self.weight.shape)}"
            raise ValueError(
                f"a packed weight of {given} is not {self.size} x {inputs}, which would be int16{list(expected)}; pack "
                "the weight that fits the input."
            )
        if self.bias is not None and self.bias.shape != (self.size,):
            raise ValueError(f"a bias of {list(self.bias.shape)} does not fit {self.size} outputs.")
        bias = jnp.zeros(self.size, jnp.float32) if self.bias is None else self.bias.astype(jnp.float32)
        return self.weight, bias


def packed_linears(
    x: jax.Array, maps: Sequence[Packed], *, activation: str | None = None, join: Join | None = None
) -> tuple[jax.Array, ...]:
    """activation(x weight^T + bias) of several maps, each float32 [..., O]; x is rounded once for all.

    Args:
      x: float32 [..., I]. A row with a NaN or infinity gives NaNs.
      maps: at least one.
      activation: one of ACTIVATIONS; "gelu" is the exact one.
      join: what is then done to the result of a single map.

    Raises:
      ValueError: shapes do not fit, there is no such activation, the library is not built, or the device is no CPU.
    """
    require_packed("A linear map of 16-bit integers")
    activation_number = _number_of(activation)
    assert join is None or len(maps) == 1, "a join belongs to one result"
    join = join or Join()
    rows = x.astype(jnp.float32).reshape(-1, x.shape[-1])
    shapes = tuple(jax.ShapeDtypeStruct((rows.shape[0], each.size), jnp.float32) for each in maps)
    results = jax.ffi.ffi_call("keytokens_linear", shapes)(
        rows,
        *join.arguments((*x.shape[:-1], maps[0].size)),
        *itertools.chain.from_iterable(each.arguments(x.shape[-1]) for each in maps),
        activation=activation_number,
        **join.attributes(),
    )
    return tuple(result.reshape(*x.shape[:-1], each.size) for result, each in zip(results, maps, strict=True))


def packed_feed_forward(
    x: jax.Array, up: Packed, down: Packed, *, gate: Packed | None, activation: str | None, join: Join | None = None
) -> jax.Array:
    """down(activation(up(x))), or with a gate down(activation(gate(x)) * up(x)), float32 [..., O].

    A block of rows goes through all of it in one piece, so that what lies between never leaves the caches.

    Args:
      x: float32 [..., I]. A row with a NaN or infinity gives NaNs.
      up: from I to any number.
      down: from that number to O.
      gate: like `up`.
      activation: one of ACTIVATIONS.
      join: what is then done to the result.

    Raises:
      ValueError: as `packed_linears`.
    """
    require_packed("A feed-forward layer of 16-bit integers")
    activation_number = _number_of(activation)
    join = join or Join()
    rows = x.astype(jnp.float32).reshape(-1, x.shape[-1])
    gate = gate or Packed(jnp.zeros(0, jnp.int16), None, 0)
    if gate.size not in (0, up.size):
        raise ValueError(f"a gate of {gate.size} numbers does not fit the {up.size} that it multiplies.")
    result = jax.ffi.ffi_call("keytokens_feed_forward", jax.ShapeDtypeStruct((rows.shape[0], down.size), jnp.float32))(
        rows,
        *join.arguments((*x.shape[:-1], down.size)),
        *up.arguments(x.shape[-1]),
        *down.arguments(up.size),
        *gate.arguments(x.shape[-1]),
        activation=activation_number,
        **join.attributes(),
    )
    return result.reshape(*x.shape[:-1], down.size)


def _number_of(activation: str | None) -> np.int64:
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation!r} is not one of {', '.join(map(repr, ACTIVATIONS))}.")
    return np.int64(ACTIVATIONS.index(activation))
