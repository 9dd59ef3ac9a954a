"""Sparse vectors over a vocabulary against dense ones: what a document's weights stand for, sums over its tokens.

n texts, k tokens each, V vocabulary, D hidden size. A text's weights s_t stand for the vector sum_t s_t a_t, where
a_t = W^T (e_t - m) is token t's row as the embedding map sees it: a query's whitened logits times s_t are that vector's
dot product with the query.
"""

import numpy as np
import scipy

from keytokens.pipelines.analysis.ragged import Ragged


def reconstructions(
    indices: np.ndarray, weights: np.ndarray, head: np.ndarray, matrix: np.ndarray, mean_row: np.ndarray
) -> np.ndarray:
    """sum_t s_t W^T (e_t - m), float32 [n, D].

    Args:
      indices: int [n, k], tokens.
      weights: float [n, k], s.
      head: [V, D], rows e_t.
      matrix: W, [D, D].
      mean_row: m, [D].
    """
    n, k = indices.shape
    table = scipy.sparse.csr_matrix(
        (weights.astype(np.float32).ravel(), indices.ravel(), np.arange(0, n * k + 1, k)), shape=(n, len(head))
    )
    summed = table @ head - weights.sum(1, keepdims=True) * mean_row
    return np.asarray(summed @ matrix, np.float32)


def sums_by_token(tokens: Ragged, vectors: np.ndarray, vocab_size: int) -> np.ndarray:
    """For each vocabulary entry the sum of the vectors [n, D] of the texts that contain it, float64 [V, D]."""
    contains = scipy.sparse.csr_matrix(
        (np.ones(len(tokens.ids)), tokens.ids, tokens.offsets), shape=(len(tokens), vocab_size), dtype=np.float64
    )
    contains.sum_duplicates()
    contains.data[:] = 1
    return np.asarray(contains.T @ vectors)
