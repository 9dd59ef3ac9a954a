"""Does a number that a model gives to pairs rank them as people do?"""

import math

import numpy as np
import scipy

from keytokens.pipelines.analysis.bootstrap import LEVEL, Interval


def spearman(values: np.ndarray, gold: np.ndarray, *, num_resamples: int = 500, seed: int = 0) -> Interval:
    """Spearman's rank correlation with the percentile interval of its bootstrap over pairs; nan where one is constant.

    Args:
      values: float [n], one a pair.
      gold: float [n].
      num_resamples: of the bootstrap.
      seed: of the bootstrap.

    Raises:
      ValueError: not as many values as gold scores, or fewer than three.
    """
    values, gold = np.asarray(values, np.float64), np.asarray(gold, np.float64)
    if values.shape != gold.shape or values.size < 3:
        raise ValueError(
            f"{values.size} values and {gold.size} gold scores: a rank correlation needs three pairs of them."
        )
    rng = np.random.default_rng(seed)
    resampled = []
    for _ in range(num_resamples):
        rows = rng.integers(0, values.size, values.size)
        resampled.append(_correlation(values[rows], gold[rows]))
    finite = np.array([one for one in resampled if math.isfinite(one)] or [math.nan])
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(_correlation(values, gold), float(low), float(high), int(values.size))


def _correlation(values: np.ndarray, gold: np.ndarray) -> float:
    ranks = [scipy.stats.rankdata(one) for one in (values, gold)]
    if any(one.min() == one.max() for one in ranks):
        return math.nan
    return float(np.corrcoef(*ranks)[0, 1])
