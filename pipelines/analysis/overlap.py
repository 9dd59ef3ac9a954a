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
