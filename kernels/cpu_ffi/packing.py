"""Rows of matrices as 16-bit integers, laid out in panels as the C++ reads them.

Letters: O rows of a matrix, I numbers of each; V vocabulary size, D hidden size, P panels of 64 rows.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from keytokens.kernels.logits import Terms

PANEL = 64  # rows of a panel, and the most numbers of a block
HALF = PANEL // 2


def cut(size: int) -> tuple[int, int]:
    """Into how many blocks a row of so many numbers is cut, and how many each holds."""
    return -(-size // PANEL), min(PANEL, size + size % 2)


def packed_shape(out: int, size: int) -> tuple[int, int, int]:
    """Of `pack_rows` of a weight [out, size]."""
    blocks, width = cut(size)
    return -(-out // PANEL), 2, blocks * (2 + width) * HALF


def pack_rows(weight: Any) -> Any:
    """int16 [panels, 2, n] from weight [O, I]; of numpy's or JAX's kind, as the weight is.

    A panel is 64 rows of the weight, the last filled up with zeros. Each half holds block after block: its rows' 32
    steps, float32, and the rounded numbers as [width / 2, 32, 2].
    """
    xp = jnp if isinstance(weight, jax.Array) else np
    out, size = weight.shape
    blocks, width = cut(size)
    padded = xp.pad(weight.astype(np.float32), ((0, -out % PANEL), (0, blocks * width - size)))
    numbers = padded.reshape(-1, HALF, blocks, width)
    largest_norm = 46340 - 0.5 * math.sqrt(width) - 1
    step = xp.maximum(xp.linalg.norm(numbers, axis=-1) / largest_norm, xp.abs(numbers).max(-1) / 32767)
    step = step.astype(np.float32)
    rounded = xp.rint(numbers / xp.where(step == 0, 1, step)[..., None]).astype(np.int16)
    body = rounded.reshape(-1, HALF, blocks, width // 2, 2).transpose(0, 2, 3, 1, 4).reshape(-1, blocks, width * HALF)
    steps = step.transpose(0, 2, 1)
    if xp is np:
        steps = np.ascontiguousarray(steps).view(np.int16)
    else:  # JAX lays the halves of a number along an axis of their own
        steps = jax.lax.bitcast_convert_type(steps, jnp.int16).reshape(-1, blocks, 2 * HALF)
    return xp.concatenate([steps, body], axis=-1).reshape(packed_shape(out, size))


class PackedHead(NamedTuple):
    """The head for `cpu_ffi`, at half its float32 size: 235 MB at V=151,936, D=768.

    Attributes:
      panels: from `pack_rows`; of masked tokens zeros.
      bias: float32 [64 P], -inf for masked tokens and those behind the last.
      bounds: float32 [P, 2], of each panel the largest norm of a token's steps and the largest finite bias.
    """

    panels: jax.Array
    bias: jax.Array
    bounds: jax.Array


@jax.jit
def pack_head(weight: jax.Array, terms: Terms) -> PackedHead:
    """The weight [V, D] and its terms."""
    vocabulary = weight.shape[0]
    bias = jnp.zeros(vocabulary, jnp.float32) if terms.bias is None else terms.bias.astype(jnp.float32)
    if terms.mask is not None:
        bias = jnp.where(terms.mask, bias, -jnp.inf)
    panels = pack_rows(jnp.where(jnp.isneginf(bias)[:, None], 0.0, weight.astype(jnp.float32)))
    halves = panels.reshape(len(panels), 2, cut(weight.shape[1])[0], -1)
    steps = jax.lax.bitcast_convert_type(halves[..., : 2 * HALF].reshape(*halves.shape[:3], HALF, 2), jnp.float32)
    sizes = jnp.sqrt(jnp.square(steps).sum(axis=2)).max(axis=(1, 2))
    largest = in_panels(jnp.where(jnp.isinf(bias), 0.0, jnp.abs(bias))).reshape(-1, PANEL).max(axis=1)
    return PackedHead(panels, in_panels(bias, fill=-jnp.inf), jnp.stack([sizes, largest], axis=1))


def in_panels(column: jax.Array, *, fill: float = 0.0) -> jax.Array:
    """Float32 [64 P] from [V]."""
    return jnp.pad(column.astype(jnp.float32), (0, -column.shape[0] % PANEL), constant_values=fill)
