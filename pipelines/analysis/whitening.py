"""A linear map of embeddings under which a LM head's rows are uncorrelated: what makes a few logits tell most.

V vocabulary, D hidden size. With rows e_t of mean m and covariance C, the whitened logit of token t is
(e_t - m) C^(-1/2) h / sqrt(D): the sum over all tokens of two texts' whitened logits' products is then V / D times the
dot product of the texts, while raw logits weight the directions in which the vocabulary happens to be spread. It is the
head applied to W h, less the constant m W h of each text, so the head itself stays as it is.
"""

from collections.abc import Iterable

import numpy as np

# Directions in which the vocabulary does not spread at all, relative to the widest: they are left out, not blown up.
_LEAST_VARIANCE = 1e-6


def head_whitening(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(W [D, D] symmetric, m [D]), float32, from the head's rows given as blocks [b, D].

    Raises:
      ValueError: all rows are equal, or there are none.
    """
    count, total, second = 0, np.zeros(()), np.zeros(())
    for block in blocks:
        rows = np.asarray(block, np.float64)
        count += len(rows)
        total = total + rows.sum(0)
        second = second + rows.T @ rows
    if not count:
        raise ValueError("a head without rows has no directions to whiten.")
    mean = total / count
    values, vectors = np.linalg.eigh(second / count - np.outer(mean, mean))
    if values[-1] <= 0:
        raise ValueError("all rows of the head are equal, so its logits tell no two tokens apart.")
    kept = values > _LEAST_VARIANCE * values[-1]
    inverse = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1)), 0)
    return ((vectors * inverse) @ vectors.T / np.sqrt(kept.sum())).astype(np.float32), mean.astype(np.float32)
