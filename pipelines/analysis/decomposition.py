"""How much of the similarity of two texts does each of their key tokens carry?

m tokens, D hidden size, E_S [m, D] their rows of the LM head.
"""

import dataclasses

import numpy as np

# Directions of the rows that float64 cannot tell from none.
_NO_DIRECTION = 1e-10


@dataclasses.dataclass(frozen=True)
class Decomposition:
    """The cosine similarity of two embeddings as a sum: similarity = shares summed + remainder, exactly.

    Attributes:
      similarity: cosine.
      shares: float64 [m], what each token carries; negative where it sets the texts apart.
      remainder: what the embeddings share outside the span of these tokens. Zero where they span the whole space.
    """

    similarity: float
    shares: np.ndarray
    remainder: float


def decompose(first: np.ndarray, second: np.ndarray, rows: np.ndarray) -> Decomposition:
    """cos(a, b) = sum_t (w_t . a)(w_t . b) / (|a| |b|) + what lies outside the span of the tokens.

    w_t are the rows of E_S made orthonormal symmetrically, (E_S E_S^T)^(-1/2) E_S (Loewdin, 1950): no order of the
    tokens is preferred, and among all orthonormal bases of their span it is the one nearest to the rows themselves.

    Args:
      first: [D].
      second: [D].
      rows: [m, D], the tokens' rows of the LM head; parallel rows share what they carry.

    Raises:
      ValueError: an embedding is zero or not finite, and so similar to nothing.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    if not (norms > 0 and np.isfinite(norms)):
        raise ValueError("an embedding is zero or not finite: it has no cosine similarity to share out.")
    similarity = float(a @ b / norms)
    if not len(rows):
        return Decomposition(similarity, np.zeros(0), similarity)
    left, values, right = np.linalg.svd(np.asarray(rows, np.float64), full_matrices=False)
    kept = values > _NO_DIRECTION * max(float(values[0]), 1e-300)
    orthonormal = left[:, kept] @ right[kept]
    shares = (orthonormal @ a) * (orthonormal @ b) / norms
    return Decomposition(similarity, shares, similarity - float(shares.sum()))
