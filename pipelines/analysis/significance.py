"""Is one system better than another on the same queries, or was it luck? Paired tests over per-query scores."""

import dataclasses
import math

import numpy as np
import scipy


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """Two systems on n queries.

    Attributes:
      difference: mean of the first less the second.
      p_randomization: two-sided, of the sign-flip (Fisher) randomisation test; the least value is 1 / (flips + 1).
      p_t: two-sided, of the paired t-test; 1 where all differences are 0, nan of a single query.
      wins: queries on which the first is better.
      losses: and worse.
    """

    difference: float
    p_randomization: float
    p_t: float
    wins: int
    losses: int


def paired_test(first: np.ndarray, second: np.ndarray, *, flips: int = 10_000, seed: int = 0) -> PairedTest:
    """Compares scores float [n] of two systems, query by query (Smucker, Allan and Carterette, CIKM 2007).

    Raises:
      ValueError: other numbers of queries, or none.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or not first.size:
        raise ValueError(f"paired scores have shapes {first.shape} and {second.shape}; both need the same queries.")
    difference = first - second
    observed = abs(difference.mean())
    rng = np.random.default_rng(seed)
    extreme = done = 0
    while done < flips:
        size = min(1000, flips - done)
        signs = rng.integers(0, 2, (size, difference.size)) * 2 - 1
        extreme += int((np.abs((signs * difference).mean(1)) >= observed - 1e-12).sum())
        done += size
    p_t = float(not difference.any())
    if difference.size == 1:
        p_t = math.nan
    elif difference.std() > 0:
        p_t = float(scipy.stats.ttest_rel(first, second).pvalue)
    return PairedTest(
        difference=float(difference.mean()),
        p_randomization=(extreme + 1) / (flips + 1),
        p_t=p_t,
        wins=int((difference > 0).sum()),
        losses=int((difference < 0).sum()),
    )
