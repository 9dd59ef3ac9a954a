"""The built-in engine: exact scores of all documents for a sparse query, and the exact best of them.

N documents, P postings that the query touches. Term at a time: the lists of the query's tokens, one behind the other,
are summed into N accumulators by one sparse product of scipy, the fastest of numpy, scipy and JAX (BUILD_NOTES.md).
"""

import numpy as np
import scipy

from keytokens.pipelines.retrieval import postings


def accumulate(gathered: postings.Gathered, weights: np.ndarray, num_rows: int) -> np.ndarray:
    """Scores float64 [N]: the sum over the query's lists of weight x impact.

    Args:
      gathered: the lists of the query's tokens.
      weights: [lists], of the query.
      num_rows: N.
    """
    lists = scipy.sparse.csc_matrix(
        (gathered.impacts, gathered.rows, gathered.bounds), shape=(num_rows, len(gathered.bounds) - 1), copy=False
    )
    return lists @ weights.astype(np.float64)


def best(scores: np.ndarray, k: int, *, allowed: np.ndarray) -> np.ndarray:
    """The rows of the k largest scores among `allowed` bool [N], best first, ties to the lower row: int64."""
    candidates = np.flatnonzero(allowed)
    values = scores[candidates]
    if len(candidates) > k:
        threshold = np.partition(values, len(values) - k)[len(values) - k]
        above = candidates[values > threshold]
        ties = candidates[values == threshold][: k - len(above)]
        candidates = np.concatenate([above, ties])
        values = scores[candidates]
    return candidates[np.lexsort((candidates, -values))]
