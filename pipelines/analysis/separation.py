"""How well do similarities tell related pairs from random ones? AUC, Cohen's d, overlap. m and n pairs."""

import dataclasses

import numpy as np
import scipy

# Bins in which two distributions of cosines are compared.
_OVERLAP_WIDTH = 0.02


@dataclasses.dataclass(frozen=True)
class Separation:
    """Related pairs against random ones.

    Attributes:
      num_related: m.
      num_random: n.
      mean_related: of the cosines.
      mean_random: likewise.
      std_related: of the sample (m - 1).
      std_random: likewise.
      auc: chance that a related pair is more similar than a random one, ties half: Mann-Whitney's U / (m n).
      cohens_d: difference of the means in pooled standard deviations (Cohen, 1988, eq. 2.5.1).
      overlap: shared area of the two histograms, bins of 0.02 (Inman and Bradley's coefficient, 1989): 1 for equal
        distributions, 0 for disjoint ones.
    """

    num_related: int
    num_random: int
    mean_related: float
    mean_random: float
    std_related: float
    std_random: float
    auc: float
    cohens_d: float
    overlap: float


def separate(related: np.ndarray, random: np.ndarray) -> Separation:
    """The separation of cosines [m] from cosines [n].

    Raises:
      ValueError: fewer than two of either.
    """
    related, random = np.asarray(related, np.float64), np.asarray(random, np.float64)
    m, n = len(related), len(random)
    if min(m, n) < 2:
        raise ValueError(f"{m} related and {n} random pairs: separation needs two of either.")
    ranks = scipy.stats.rankdata(np.concatenate([related, random]))
    std_related, std_random = float(related.std(ddof=1)), float(random.std(ddof=1))
    pooled = np.sqrt(((m - 1) * std_related**2 + (n - 1) * std_random**2) / (m + n - 2))
    difference = float(related.mean() - random.mean())
    return Separation(
        num_related=m,
        num_random=n,
        mean_related=float(related.mean()),
        mean_random=float(random.mean()),
        std_related=std_related,
        std_random=std_random,
        auc=float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n)),
        cohens_d=difference / pooled if pooled > 0 else float(np.sign(difference)) * np.inf if difference else 0.0,
        overlap=float(np.minimum(_shares(related), _shares(random)).sum()),
    )


def _shares(cosines: np.ndarray) -> np.ndarray:
    bins = np.floor(np.clip(cosines, -1, 1) / _OVERLAP_WIDTH).astype(np.int64)
    half = round(1 / _OVERLAP_WIDTH)
    return np.bincount(bins + half, minlength=2 * half + 1) / len(cosines)
