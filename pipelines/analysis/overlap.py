"""How much do two lists of key tokens share?"""

import numpy as np


def jaccard(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|A and B| / |A or B| of the token sets of each text, float64 [n]; 1 for two empty sets.

    Args:
      a: int [n, k], distinct token ids in every row.
      b: int [n, k].
    """
    both = np.array([len(np.intersect1d(x, y)) for x, y in zip(a, b, strict=True)], np.float64)
    either = a.shape[1] + b.shape[1] - both
    return np.divide(both, either, out=np.ones_like(both), where=either > 0)


def weighted_jaccard(a: np.ndarray, weights_a: np.ndarray, b: np.ndarray, weights_b: np.ndarray) -> np.ndarray:
    """Sum of min(w_a, w_b) / sum of max(w_a, w_b) over tokens, float64 [n]; a token that is missing has weight 0.

    Between 0 and 1; 0 where no weight is positive. Ruzicka (1958); for weights of 0 and 1 it is `jaccard`.

    Args:
      a: int [n, k], distinct token ids in every row.
      weights_a: float [n, k]; below zero they count as zero.
      b: int [n, m].
      weights_b: float [n, m].
    """
    found = np.zeros(len(a))
    for row, (x, wx, y, wy) in enumerate(zip(a, weights_a, b, weights_b, strict=True)):
        wx, wy = np.maximum(wx, 0.0).astype(np.float64), np.maximum(wy, 0.0).astype(np.float64)
        _, at_x, at_y = np.intersect1d(x, y, assume_unique=True, return_indices=True)
        least = np.minimum(wx[at_x], wy[at_y]).sum()
        most = wx.sum() + wy.sum() - least
        found[row] = least / most if most > 0 else 0.0
    return found
