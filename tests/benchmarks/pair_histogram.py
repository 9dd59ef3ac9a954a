"""What does the histogram of all pairs of words cost over the tiled matmul alone? Prints times, ratios, memory.

  python tests/benchmarks/pair_histogram.py
  python tests/benchmarks/pair_histogram.py --vectors=vectors.npy --rounds=3 --tiles=256,512,1024

Both run in turn, round after round, and each ratio is of one round; medians of the wall clock, and of CPU time over all
threads, which other work on the machine disturbs less. Without flags: 74,047 random vectors of D = 384,
2,741,442,081 pairs, three rounds, about 150 seconds of CPU time. Expect a ratio near 1.26.
"""

import argparse
import functools
import hashlib
import pathlib
import resource
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from keytokens.kernels import count_pairs, to_grid


@functools.partial(jax.jit, static_argnames=("tile_rows",))
def _products_of_strip(grid: jax.Array, strip: int, *, tile_rows: int) -> jax.Array:
    """The loop of the histogram, with nothing done to the products."""
    rows = lax.dynamic_slice_in_dim(grid, strip * tile_rows, tile_rows)

    def one_tile(tile, _):
        columns = lax.dynamic_slice_in_dim(grid, tile * tile_rows, tile_rows)
        return lax.dot_general(rows, columns, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST)

    last = lax.fori_loop(strip, grid.shape[0] // tile_rows, one_tile, jnp.zeros((tile_rows, tile_rows), jnp.float32))
    return last[0, 0]


def matmul_alone(grid: jax.Array, tile_rows: int) -> None:
    num_strips = -(-grid.shape[0] // tile_rows)
    padded = jnp.pad(grid, ((0, num_strips * tile_rows - grid.shape[0]), (0, 0)))
    strips = [_products_of_strip(padded, strip, tile_rows=tile_rows) for strip in range(num_strips)]
    jax.block_until_ready(strips)


def histogram(grid: jax.Array, tile_rows: int) -> str:
    """A digest of the counts: the same for every tile, or the counts depend on it."""
    counts = np.asarray(count_pairs(grid, tile_rows=tile_rows)).sum(0, dtype=np.int64)
    assert counts.sum() == len(grid) * (len(grid) - 1) // 2
    return hashlib.sha256(counts.tobytes()).hexdigest()[:12]


def timed(function, *arguments) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    function(*arguments)
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", help=".npy, float32 [n, D]; default random")
    parser.add_argument("--rows", type=int, default=74_047, help="at most so many vectors")
    parser.add_argument("--dimension", type=int, default=384, help="of random vectors")
    parser.add_argument("--tiles", default="512", help="rows of a tile, several separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    if asked.vectors:
        vectors = np.load(pathlib.Path(asked.vectors), allow_pickle=False)[: asked.rows]
    else:
        vectors = np.random.default_rng(0).standard_normal((asked.rows, asked.dimension), np.float32)
    grid = to_grid(jnp.asarray(vectors))
    num_pairs = len(vectors) * (len(vectors) - 1) // 2
    print(f"{len(vectors):,} vectors of D = {vectors.shape[1]}, {num_pairs:,} pairs, {jax.devices()}")
    for tile_rows in map(int, asked.tiles.split(",")):
        matmul_alone(grid, tile_rows)  # compiles
        print(f"tile {tile_rows}: counts {histogram(grid, tile_rows)}")
        rounds = [
            (timed(matmul_alone, grid, tile_rows), timed(histogram, grid, tile_rows)) for _ in range(asked.rounds)
        ]
        for clock, name in enumerate(("wall", "CPU")):
            alone, ours = ([one[part][clock] for one in rounds] for part in (0, 1))
            ratio = statistics.median(b / a for a, b in zip(alone, ours, strict=True))
            print(
                f"tile {tile_rows}, {name}: matmul {statistics.median(alone):.1f} s, histogram "
                f"{statistics.median(ours):.1f} s, {num_pairs / statistics.median(ours) / 1e6:.0f} M pairs/s, "
                f"ratio {ratio:.2f}",
                flush=True,
            )
    print(f"peak resident memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
