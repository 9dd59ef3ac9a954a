"""Every pair of words of one model: the histogram of their cosines, and each word's nearest neighbours.

n words, D dimension, k neighbours.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from keytokens import kernels
from keytokens.kernels import pair_histogram as kernel
from keytokens.pipelines.analysis.pair_statistics import PairHistogram

_NEIGHBOUR_ROWS = 1024


def histogram_of_pairs(unit: np.ndarray, *, tile_rows: int = kernel.DEFAULT_TILE_ROWS) -> tuple[PairHistogram, float]:
    """The cosines of all n(n-1)/2 pairs of unit [n, D] in bins of 0.001 from -1 to 1, and the seconds it took.

    Counts are exact for the vectors rounded to the kernel's grid, which moves a cosine by 0.0001 (standard deviation).
    """
    start = time.perf_counter()
    strips = kernels.count_pairs(kernels.to_grid(jnp.asarray(unit)), tile_rows=tile_rows)
    counts = np.asarray(strips).sum(0, dtype=np.int64)
    # Rounding may carry a cosine of 1 past the end, into bins that no cosine has.
    low, high = -kernel.BINS_PER_UNIT - kernel.FIRST_BIN, kernel.BINS_PER_UNIT - kernel.FIRST_BIN
    folded = counts[low:high].copy()
    folded[0] += counts[:low].sum()
    folded[-1] += counts[high:].sum()
    return PairHistogram(-1.0, 1 / kernel.BINS_PER_UNIT, folded), time.perf_counter() - start


def nearest_neighbours(unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Each word's k most similar other words, most similar first: int32 rows [n, k] and float32 cosines [n, k].

    Blocks of words are multiplied with all words, which are split over the devices; every device selects, and the
    selections are merged. Equal cosines stand in the order of the words.

    Raises:
      ValueError: k is not between 1 and n - 1.
    """
    n = len(unit)
    if not 1 <= k < n:
        raise ValueError(f"{k} neighbours of each of {n} words: k must be between 1 and {n - 1}.")
    devices = jax.devices()
    if len(devices) == 1:
        head = kernels.prepare_head(jnp.asarray(unit))
    else:
        sharded = kernels.shard_head(jnp.asarray(unit), Mesh(np.array(devices), ("words",)), "words")
    rows, values = np.zeros((n, k), np.int32), np.zeros((n, k), np.float32)
    for start in range(0, n, _NEIGHBOUR_ROWS):
        block = jnp.asarray(unit[start : start + _NEIGHBOUR_ROWS])
        best = (
            kernels.aligned_topk(block, head, k + 1)
            if len(devices) == 1
            else kernels.sharded_topk(block, sharded, k + 1)
        )
        indices, cosines = np.asarray(best.indices), np.asarray(best.values)
        own = indices == np.arange(start, start + len(block))[:, None]
        own[:, -1] |= ~own.any(1)  # more than k words with the same vector: any of them may go
        rows[start : start + len(block)] = indices[~own].reshape(-1, k)
        values[start : start + len(block)] = cosines[~own].reshape(-1, k)
    return rows, values
