"""Mean, variance and quantiles of the cosines of all pairs: from their histogram, and in closed form from the vectors.

n vectors, D their size, b bins of one width.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class PairHistogram:
    """How many pairs have which cosine.

    Attributes:
      first_edge: lower edge of the first bin.
      width: of every bin; a bin holds its lower edge.
      counts: int64 [b].
    """

    first_edge: float
    width: float
    counts: np.ndarray

    @property
    def edges(self) -> np.ndarray:
        """float64 [b + 1]."""
        # From whole multiples of the width: 0.3 is 0.3, not 300 additions of 0.001.
        first = round(self.first_edge / self.width)
        return np.arange(first, first + len(self.counts) + 1) * self.width

    @property
    def num_pairs(self) -> int:
        """All of them."""
        return int(self.counts.sum())

    @property
    def density(self) -> np.ndarray:
        """float64 [b]: shares divided by the width; the histogram's area is 1."""
        return self.counts / (max(1, self.num_pairs) * self.width)

    @property
    def mean(self) -> float:
        """Every pair at the middle of its bin: off by at most half a width; nan of no pair."""
        return float(self.counts @ self._centres / self.num_pairs) if self.num_pairs else np.nan

    @property
    def variance(self) -> float:
        """Of the pairs at the middles of their bins, less width^2 / 12 (Sheppard's correction); nan of no pair."""
        if not self.num_pairs:
            return np.nan
        spread = float(self.counts @ np.square(self._centres - self.mean) / self.num_pairs)
        return max(0.0, spread - self.width**2 / 12)

    def quantiles(self, shares: Sequence[float]) -> np.ndarray:
        """float64, the cosines below which these shares of the pairs lie; linear inside a bin, off by at most a width.

        Raises:
          ValueError: a share outside [0, 1], or no pair.
        """
        wanted = np.asarray(shares, np.float64)
        if not ((wanted >= 0) & (wanted <= 1)).all():
            raise ValueError(f"shares {list(shares)} must lie in [0, 1].")
        if not self.num_pairs:
            raise ValueError("a histogram of no pair has no quantiles.")
        below = np.concatenate([[0], np.cumsum(self.counts)])
        rank = wanted * self.num_pairs
        # The first bin whose end is reached; where rank is 0, the first that holds a pair.
        bins = np.searchsorted(below[1:], np.maximum(rank, 1e-9), side="left")
        inside = (rank - below[bins]) / np.maximum(1, self.counts[bins])
        return self.edges[bins] + inside * self.width

    def coarser(self, factor: int) -> "PairHistogram":
        """The same pairs in bins `factor` times as wide.

        Raises:
          ValueError: factor does not divide the number of bins.
        """
        if len(self.counts) % factor:
            raise ValueError(f"{len(self.counts)} bins cannot be merged by {factor}: it leaves a rest.")
        return PairHistogram(self.first_edge, self.width * factor, self.counts.reshape(-1, factor).sum(1))

    @property
    def _centres(self) -> np.ndarray:
        return self.edges[:-1] + self.width / 2


def closed_form(unit: np.ndarray) -> tuple[float, float]:
    """Mean and variance of all n(n-1)/2 cosines of unit vectors [n, D], without looking at a pair.

    The sum over all ordered pairs, those of a vector with itself included, is |sum u|^2, and of the squares it is
    |U^T U|^2 (Frobenius); the n of a vector with itself are taken off.

    Raises:
      ValueError: fewer than two vectors.
    """
    n = len(unit)
    if n < 2:
        raise ValueError(f"{n} vector(s) make no pair.")
    total, gram = np.zeros(unit.shape[1]), np.zeros((unit.shape[1],) * 2)
    own, own_squared = 0.0, 0.0
    for start in range(0, n, 8192):
        block = unit[start : start + 8192].astype(np.float64)
        total += block.sum(0)
        gram += block.T @ block
        norms = np.square(block).sum(1)
        own, own_squared = own + norms.sum(), own_squared + np.square(norms).sum()
    mean = (total @ total - own) / (n * (n - 1))
    return float(mean), float((np.square(gram).sum() - own_squared) / (n * (n - 1)) - mean**2)
