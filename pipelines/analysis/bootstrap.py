"""How sure is a number? Confidence intervals of means by the bootstrap, of set ratios by the grouped jackknife.

n texts, B resamples, G groups.
"""

import dataclasses
import math

import numpy as np

LEVEL = 0.95
_NORMAL_QUANTILE = 1.959963984540054  # of 0.975


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval.

    Attributes:
      estimate: of the whole sample; nan where there is nothing to estimate from.
      low: lower end; nan where the sample says nothing of its error, as a single text does.
      high: upper end; likewise.
      count: texts it is an estimate of.
    """

    estimate: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        if not self.known:
            return "-" if math.isnan(self.estimate) else f"{self.estimate:.3f} (no interval)"
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def known(self) -> bool:
        """Whether there is an interval at all; without one nothing can be concluded from the estimate."""
        return not (math.isnan(self.estimate) or math.isnan(self.low) or math.isnan(self.high))

    def excludes(self, value: float) -> bool:
        """Whether the interval lies on one side of the value."""
        return self.low > value or self.high < value


def mean_interval(values: np.ndarray, *, num_resamples: int = 2000, seed: int = 0) -> Interval:
    """The mean of `values` with the percentile interval of its bootstrap distribution (Efron, 1979).

    A resample of n texts with replacement is a multinomial draw over the distinct values, which is drawn as such: the
    cost is B times the number of distinct values, whatever n is.

    Args:
      values: float [n], one a text.
      num_resamples: B.
      seed: the same values and seed give the same interval.
    """
    values = np.asarray(values, np.float64)
    if values.size < 2:  # whose resamples are all the same
        return Interval(float(values[0]) if values.size else math.nan, math.nan, math.nan, int(values.size))
    distinct, counts = np.unique(values, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(values.size, counts / values.size, size=num_resamples)
    means = draws @ distinct / values.size
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values.mean()), float(low), float(high), int(values.size))


def jackknife_interval(estimate: float, leave_one_out: np.ndarray, *, count: int) -> Interval:
    """An interval from estimates that each leave out one of G groups of equal size (Quenouille, 1956; Tukey, 1958).

    standard error^2 = (G - 1) / G sum_g (estimate_g - mean)^2, the interval is normal. For ratios of unions of sets, of
    which a bootstrap resample holds too few: it draws 63 % of the texts.

    Args:
      estimate: of all texts.
      leave_one_out: float [G].
      count: texts.
    """
    values = np.asarray(leave_one_out, np.float64)
    if values.size < 2:
        return Interval(estimate, math.nan, math.nan, count)
    half = _NORMAL_QUANTILE * float(jackknife_error(values))
    return Interval(estimate, estimate - half, estimate + half, count)


def jackknife_error(leave_one_out: np.ndarray) -> np.ndarray:
    """The standard error, [...], from leave-one-group-out estimates [G, ...]; nan where one of them is not finite."""
    groups = len(leave_one_out)
    with np.errstate(invalid="ignore"):  # of inf - inf
        return np.sqrt((groups - 1) / groups * np.square(leave_one_out - leave_one_out.mean(0)).sum(0))
