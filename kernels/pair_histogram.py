"""The histogram of the cosines of all n(n-1)/2 pairs of n vectors, exact and the same for every tile size and device.

Letters: n vectors, D their size, T rows of a tile.

A float32 product depends in its last bits on the order of its sum, and so on the tile, and a pair next to the edge of a
bin would change sides. Therefore unit vectors are rounded to a grid first: entry x becomes the integer round(s x), with
s^2 = 16,384,000. Every partial sum of the product of two such rows is an integer, at most |a| |b| <= 2^24 in size by
Cauchy and Schwarz, and float32 holds those exactly: the sum has one value in every order. A bin is 2^14 of these units,
which is 0.001 of cosine; a pair on an edge belongs to the bin above it.

What rounding costs: the error of one cosine has the standard deviation sqrt(2/12) / s = 1.0e-4 whatever D, a tenth of a
bin, and no bias; |error| < sqrt(D) / s + D / (4 s^2) always.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

BINS_PER_UNIT = 1000
UNITS_PER_BIN = 2**14
SCALE = math.sqrt(BINS_PER_UNIT * UNITS_PER_BIN)
# Cosines of rounded vectors reach from -1.024 to 1.024 (2^24 units); the very last bin holds 2^24 itself.
FIRST_BIN = -1024
NUM_BINS = 2049
# |s x| + sqrt(D) / 2 must stay within 4,096 = sqrt(2^24).
MAX_DIMENSION = int((2 * (4096 - SCALE)) ** 2)
# Measured on a CPU: 384 takes 1.28 times the matmul alone, 512 1.26, 1,024 1.33 (it leaves the second-level cache).
DEFAULT_TILE_ROWS = 512
# Of a device; each holds a few tiles. All of them at once were 1.6 GiB on a busy CPU.
_STRIPS_AT_ONCE = 4
_MAX_STRIP_PAIRS = 2**31 - 1  # of int32 counts


@jax.jit
def to_grid(vectors: jax.Array) -> jax.Array:
    """Vectors float32 [n, D], none zero, at unit length on the grid: whole numbers in float32 [n, D].

    Raises:
      ValueError: not float32 [n, D], or D too large for sums to stay exact.
    """
    if vectors.ndim != 2 or vectors.dtype != jnp.float32:
        raise ValueError(f"vectors are {vectors.dtype} {tuple(vectors.shape)}, but must be float32 [n, D].")
    if vectors.shape[1] > MAX_DIMENSION:
        raise ValueError(
            f"D={vectors.shape[1]} must be at most {MAX_DIMENSION}: beyond it rounded vectors leave the range in which "
            "float32 sums are exact, and counts would depend on the tile. Project the vectors to fewer dimensions."
        )
    # By the largest entry first: squares then stay inside float32's range.
    vectors = vectors / jnp.max(jnp.abs(vectors), axis=1, keepdims=True)
    norms = jnp.sqrt(jnp.sum(vectors * vectors, axis=1, keepdims=True))
    return jnp.round(vectors / norms * SCALE)


def count_pairs(
    grid: jax.Array, *, tile_rows: int = DEFAULT_TILE_ROWS, devices: Sequence[jax.Device] | None = None
) -> jax.Array:
    """Counts of all pairs i < j by cosine, int32 [strips, NUM_BINS]; their 64-bit sum over strips is the histogram.

    Column b counts cosines in [(FIRST_BIN + b) / 1000, (FIRST_BIN + b + 1) / 1000). A strip is `tile_rows` vectors
    against all later ones; a device holds all vectors and, of four strips, a few tiles of T^2 4 bytes, and never more.
    Strips go to the devices in turn; the work of a strip falls with its number, so they end within a strip of each
    other.

    Args:
      grid: from `to_grid`.
      tile_rows: T; changes speed and memory, never the counts.
      devices: that share the work; by default all.

    Raises:
      ValueError: there is no vector, or tile_rows < 1, or so large that a strip's counts would overflow.
    """
    num_rows = grid.shape[0]
    if num_rows == 0:
        raise ValueError("0 vectors have no pairs: give at least one.")
    if tile_rows < 1:
        raise ValueError(f"tile_rows={tile_rows} must be at least 1.")
    if tile_rows * num_rows > _MAX_STRIP_PAIRS:
        raise ValueError(
            f"tile_rows={tile_rows} times {num_rows} vectors exceeds {_MAX_STRIP_PAIRS}, so counts of a strip would "
            "overflow 32 bits. Take smaller tiles."
        )
    devices = list(devices or jax.devices())
    num_strips = -(-num_rows // tile_rows)
    padded = jnp.pad(grid, ((0, num_strips * tile_rows - num_rows), (0, 0)))
    copies = [jax.device_put(padded, device) for device in devices]
    strips: list[jax.Array] = []
    for strip in range(num_strips):
        # Dispatch returns at once: devices work side by side, and on a CPU one strip multiplies while another counts.
        if strip >= _STRIPS_AT_ONCE * len(devices):
            jax.block_until_ready(strips[strip - _STRIPS_AT_ONCE * len(devices)])
        strips.append(_strip(copies[strip % len(devices)], strip, tile_rows=tile_rows, num_rows=num_rows))
    return jnp.stack([jax.device_put(counts, devices[0]) for counts in strips]).reshape(num_strips, NUM_BINS)


@functools.partial(jax.jit, static_argnames=("tile_rows", "num_rows"))
def _strip(grid: jax.Array, strip: int, *, tile_rows: int, num_rows: int) -> jax.Array:
    """Counts, int32 [NUM_BINS], of the pairs of one tile of rows with all later rows."""
    first = strip * tile_rows
    rows = lax.dynamic_slice_in_dim(grid, first, tile_rows)
    row_ids = first + jnp.arange(tile_rows)[:, None]

    def add_tile(tile: jax.Array, counts: jax.Array) -> jax.Array:
        columns = lax.dynamic_slice_in_dim(grid, tile * tile_rows, tile_rows)
        products = lax.dot_general(rows, columns, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST)
        column_ids = tile * tile_rows + jnp.arange(tile_rows)[None, :]
        bins = jnp.floor(products * (1 / UNITS_PER_BIN)).astype(jnp.int32) - FIRST_BIN
        # What is no pair, or padding, goes to a bin past the end.
        bins = jnp.where((column_ids > row_ids) & (column_ids < num_rows), bins, NUM_BINS)
        return counts.at[bins.reshape(-1)].add(1, mode="promise_in_bounds")

    counts = lax.fori_loop(strip, grid.shape[0] // tile_rows, add_tile, jnp.zeros(NUM_BINS + 1, jnp.int32))
    return counts[:NUM_BINS]
