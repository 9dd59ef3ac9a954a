"""Where token embeddings can begin: the factors of the corpus's own co-occurrence counts."""

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

_REACH = 5  # tokens to either side
_SMOOTHING = 0.75  # exponent on the context's counts (Levy, Goldberg and Dagan, TACL 2015)
_SCALE = 0.05  # standard deviation of the table


def ppmi_embeddings(stream: np.ndarray, *, vocab_size: int, width: int, seed: int) -> np.ndarray:
    """Word vectors from counts: the leading `width` singular vectors of the shifted positive PMI matrix.

    The classical vectors (Levy and Goldberg, NIPS 2014; columns scaled by the root of their singular value) cost
    seconds, and tell a model that can only be trained for an hour which tokens are alike.

    Args:
      stream: token ids int32 [n].
      vocab_size: V.
      width: D.
      seed: of the factorisation's first vector.

    Returns:
      float32 [V, D], with the standard deviation that a trained table starts from.
    """
    counts = scipy.sparse.csr_matrix((vocab_size, vocab_size), dtype=np.float32)
    for distance in range(1, _REACH + 1):
        pairs = stream[:-distance], stream[distance:]
        share = np.full(len(pairs[0]), 1 / distance, np.float32)
        counts = counts + scipy.sparse.coo_matrix((share, pairs), shape=counts.shape).tocsr()
    counts = (counts + counts.T).tocoo()
    totals = np.bincount(counts.row, weights=counts.data, minlength=vocab_size) + 1
    contexts = totals**_SMOOTHING / (totals**_SMOOTHING).sum()
    information = np.log(counts.data / (totals[counts.row] * contexts[counts.col]))
    kept = information > 0
    matrix = scipy.sparse.csr_matrix((information[kept], (counts.row[kept], counts.col[kept])), shape=counts.shape)
    first = np.random.default_rng(seed).normal(size=vocab_size)
    left, values, _ = scipy.sparse.linalg.svds(matrix, k=width, v0=first)
    table = left * np.sqrt(values)
    return (table * (_SCALE / table.std())).astype(np.float32)
