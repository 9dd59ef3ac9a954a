"""Exact aligned tokens on any backend in O(block) memory: [B, V] never exists.

Rows go through the head in fixed blocks. A block is padded rather than cut short, so that the compiled program, and
with it a row's bits, is the same whatever the batch size and whoever the row's neighbours are.
"""

import jax
import jax.numpy as jnp
from jax import lax

from keytokens.kernels.result import TopK, finish, scale_and_cap

# Per block: its logits and the cleaned copy that top_k reads, 2 * 128 * V * 4 bytes: 156 MB at V=151,936. XLA's CPU
# matmul packs the head anew for every block, which 128 rows amortise: measured flat from 128 to 256, slower below.
BLOCK_ROWS = 128
# Small batches: the matmul then only streams the head, and 128 rows would cost six times as much as 8. The bits do not
# depend on which of the two is taken (a test holds it); one row alone is avoided, since XLA CPU sums that differently.
SMALL_BLOCK_ROWS = 8


def chunked_topk(
    hidden: jax.Array,
    head: jax.Array,
    k: int,
    *,
    bias: jax.Array | None,
    shift: tuple[jax.Array, jax.Array] | None,
    mask: jax.Array | None,
    scale: float,
    softcap: float | None,
    with_logsumexp: bool,
) -> TopK:
    """The k largest logits of every text, block by block of rows; arguments as in `aligned_topk`."""
    num_rows = hidden.shape[0]
    block_rows = SMALL_BLOCK_ROWS if num_rows <= SMALL_BLOCK_ROWS else BLOCK_ROWS
    coefficient, direction = (None, None) if shift is None else shift

    def select(block: tuple[jax.Array, jax.Array | None]) -> TopK:
        rows, row_coefficient = block
        logits = ordered_logits(rows, head, bias, row_coefficient, direction, mask)
        values, indices = lax.top_k(logits, k)
        logsumexp = None
        if with_logsumexp:
            logsumexp = jax.nn.logsumexp(scale_and_cap(logits, scale, softcap), axis=-1)
        broken = jnp.isnan(values[:, 0])  # top_k ranks a NaN first
        return finish(values, indices, logsumexp, broken=broken, scale=scale, softcap=softcap)

    blocks = jax.tree.map(lambda array: _in_blocks(array, block_rows), (hidden, coefficient))
    result: TopK = lax.map(select, blocks)
    return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:])[:num_rows], result)


def ordered_logits(
    rows: jax.Array,
    head: jax.Array,
    bias: jax.Array | None,
    coefficient: jax.Array | None,
    direction: jax.Array | None,
    mask: jax.Array | None,
) -> jax.Array:
    """The logits float32 [rows, V], such that `lax.top_k` orders them as promised.

    `lax.top_k` compares bits: it puts 0.0 above -0.0 and a negative NaN, which is what x86 makes of inf - inf, last.
    """
    if rows.dtype != head.dtype:
        rows, head = rows.astype(jnp.float32), head.astype(jnp.float32)
    logits = lax.dot_general(
        rows,
        head,
        (((1,), (1,)), ((), ())),
        precision=lax.Precision.HIGHEST,  # no TF32 and no single bfloat16 pass
        preferred_element_type=jnp.float32,
    )
    if bias is not None:
        logits = logits + bias.astype(jnp.float32)[None, :]
    if coefficient is not None and direction is not None:
        logits = logits - coefficient.astype(jnp.float32)[:, None] * direction.astype(jnp.float32)[None, :]
    if mask is not None:
        logits = jnp.where(mask[None, :], logits, -jnp.inf)
    logits = jnp.where(logits == 0.0, 0.0, logits)
    return jnp.where(jnp.isnan(logits), jnp.nan, logits)


def _in_blocks(array: jax.Array, block_rows: int) -> jax.Array:
    """[B, ...] as [number of blocks, block_rows, ...], the last block padded with zeros."""
    num_blocks = -(-array.shape[0] // block_rows)
    padding = num_blocks * block_rows - array.shape[0]
    padded = jnp.pad(array, [(0, padding)] + [(0, 0)] * (array.ndim - 1))
    return padded.reshape(num_blocks, block_rows, *array.shape[1:])
