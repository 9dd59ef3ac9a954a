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
    return -(-out // PANEL), 2, 2 * HALF + _scales_size(blocks) + blocks * width * HALF


def pack_rows(weight: Any) -> Any:
    """int16 [panels, 2, n] from weight [O, I]; of numpy's or JAX's kind, as the weight is.

    A panel is 64 rows of the weight, the last filled up with zeros. Of each half it holds the rows' steps and the
    scales of the blocks, float32, the latter filled up to a multiple of 16, and block after block the numbers as
    [width / 2, 32, 2]. A row's number in a block is its integer times the row's step times the block's scale.
    """
    xp = jnp if isinstance(weight, jax.Array) else np
    out, size = weight.shape
    blocks, width = cut(size)
    padded = xp.pad(weight.astype(np.float32), ((0, -out % PANEL), (0, blocks * width - size)))
    numbers = padded.reshape(-1, HALF, blocks, width)
    # What is added is more than the squares of float32 can lose below its smallest number.
    norms = xp.sqrt(xp.square(numbers).sum(-1) + np.float32(1e-34))
    least = xp.maximum(norms / (65536 - 0.5 * math.sqrt(width) - 1), xp.abs(numbers).max(-1) / 32767)
    # Each row's and block's own step would be the least. The product of a row's and a block's is no less, and hardly
    # larger where blocks differ alike in all rows.
    scales = xp.sqrt(xp.square(least / least.max(-1, keepdims=True)).mean(1, keepdims=True)).astype(np.float32)
    scales = xp.maximum(scales, np.float32(1e-15))  # the square of a block of zeros may be flushed to 0
    steps = (least / scales).max(-1, keepdims=True).astype(np.float32) * np.float32(1 + 2e-7)
    rounded = xp.rint(numbers / (steps * scales)[..., None]).astype(np.int16)
    body = rounded.reshape(-1, HALF, blocks, width // 2, 2).transpose(0, 2, 3, 1, 4).reshape(len(rounded), -1)
    scales = xp.pad(scales[:, 0], ((0, 0), (0, _scales_size(blocks) // 2 - blocks)))
    header = xp.concatenate([steps[:, :, 0], scales], axis=1)
    if xp is np:
        header = np.ascontiguousarray(header).view(np.int16)
    else:  # JAX lays the halves of a number along an axis of their own
        header = jax.lax.bitcast_convert_type(header, jnp.int16).reshape(len(header), -1)
    return xp.concatenate([header, body], axis=1).reshape(packed_shape(out, size))


def _scales_size(blocks: int) -> int:
    """In units of int16."""
    return 2 * (-(-blocks // 16) * 16)


class PackedHead(NamedTuple):
    """The head for `cpu_ffi`, at half its float32 size: 235 MB at V=151,936, D=768.

    Attributes:
      panels: from `pack_rows`; of masked tokens zeros.
      bias: float32 [64 P], -inf for masked tokens and those behind the last.
      bounds: float32 [P, 2], of each panel the largest norm of a token's steps (its own times those of the blocks)
        and the largest finite bias; infinite where a number of the panel is a NaN, so that nothing is proven.
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
    header = panels[..., : 2 * HALF + _scales_size(cut(weight.shape[1])[0])]
    header = jax.lax.bitcast_convert_type(header.reshape(len(panels), 2, -1, 2), jnp.float32)
    steps, scales = header[..., :HALF].max(-1), jnp.linalg.norm(header[..., HALF:], axis=-1)
    sizes = (steps * scales).max(axis=1)
    # XLA's max on a CPU passes over NaNs.
    broken = (jnp.isnan(weight).any(axis=1) & ~jnp.isneginf(bias)) | jnp.isnan(bias)
    sizes = jnp.where(in_panels(broken).reshape(-1, PANEL).any(axis=1), jnp.inf, sizes)
    largest = in_panels(jnp.where(jnp.isinf(bias), 0.0, jnp.abs(bias))).reshape(-1, PANEL).max(axis=1)
    return PackedHead(panels, in_panels(bias, fill=-jnp.inf), jnp.stack([sizes, largest], axis=1))


def in_panels(column: jax.Array, *, fill: float = 0.0) -> jax.Array:
    """Float32 [64 P] from [V]."""
    return jnp.pad(column.astype(jnp.float32), (0, -column.shape[0] % PANEL), constant_values=fill)
