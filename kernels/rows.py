"""Row blocks: the batch in pieces of one fixed size, so that [B, V] never exists and rows do not depend on each other.

A block is padded rather than cut short. The compiled program, and with it the order of every sum, is then the same
whatever the batch size and whoever the row's neighbours are.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

# XLA's CPU matmul packs the head anew for every block, which 128 rows amortise: measured flat to 256, slower below.
BLOCK_ROWS = 128
# Small batches: the matmul then only streams the head, and 128 rows would cost six times as much as 8. The bits do not
# depend on which of the two is taken (a test holds it); one row alone is avoided, since XLA CPU sums that differently.
SMALL_BLOCK_ROWS = 8


def map_blocks(function: Callable[[Any], Any], arrays: Any) -> Any:
    """`function` over blocks of the rows of a pytree of arrays [B, ...]; returns its pytree with [B, ...] again."""
    num_rows = jax.tree.leaves(arrays)[0].shape[0]
    block_rows = SMALL_BLOCK_ROWS if num_rows <= SMALL_BLOCK_ROWS else BLOCK_ROWS
    num_blocks = -(-num_rows // block_rows)

    def in_blocks(array: jax.Array) -> jax.Array:
        padding = [(0, num_blocks * block_rows - num_rows)] + [(0, 0)] * (array.ndim - 1)
        return jnp.pad(array, padding).reshape(num_blocks, block_rows, *array.shape[1:])

    results = lax.map(function, jax.tree.map(in_blocks, arrays))
    return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:])[:num_rows], results)
