"""Means and second moments of embeddings, merged exactly: the sufficient statistics of every spectral comparison.

n texts, D hidden size. Everything is float64, kept centred and merged by the pairwise formula of Chan, Golub and
LeVeque (1983): relative error 4e-15 at mean/std = 1000, where raw sums of squares have 4e-9.
"""

import dataclasses
from collections.abc import Iterable
from typing import Self

import numpy as np


@dataclasses.dataclass(frozen=True)
class Moments:
    """Moments of n embeddings of one model.

    Attributes:
      count: n.
      mean: [D].
      scatter: [D, D], sum of (h - mean)(h - mean)^T.
      unit_sum: [D], sum of h / |h|.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray
    unit_sum: np.ndarray

    @classmethod
    def zero(cls, hidden_size: int) -> Self:
        """The moments of no text: what merging starts from."""
        return cls(0, np.zeros(hidden_size), np.zeros((hidden_size, hidden_size)), np.zeros(hidden_size))

    @classmethod
    def of(cls, embeddings: np.ndarray) -> Self:
        """The moments of embeddings [n, D], computed in float64: the definition of all others."""
        h = np.asarray(embeddings, np.float64)
        if not len(h):
            return cls.zero(h.shape[1])
        mean = h.mean(0)
        norms = np.linalg.norm(h, axis=1, keepdims=True)
        unit = np.divide(h, norms, out=np.zeros_like(h), where=norms > 0)
        return cls(len(h), mean, (h - mean).T @ (h - mean), unit.sum(0))

    @property
    def sum(self) -> np.ndarray:
        """[D], sum of h."""
        return self.count * self.mean

    @property
    def second_moment(self) -> np.ndarray:
        """[D, D], M = H^T H / n, not centred, as in arXiv 2406.17378."""
        return self.covariance + np.outer(self.mean, self.mean)

    @property
    def covariance(self) -> np.ndarray:
        """[D, D], centred, divided by n."""
        return self.scatter / max(1, self.count)


@dataclasses.dataclass(frozen=True)
class PairMoments:
    """Moments of an embedder f and, where there is one, its backbone g over the same texts.

    Attributes:
      f: of the embedder.
      g: of the backbone, or None.
      cross_scatter: [D, D], sum of (h_f - mean_f)(h_g - mean_g)^T, or None.
    """

    f: Moments
    g: Moments | None = None
    cross_scatter: np.ndarray | None = None

    @classmethod
    def zero(cls, hidden_size: int, *, has_backbone: bool) -> Self:
        """The moments of no text."""
        if not has_backbone:
            return cls(Moments.zero(hidden_size))
        return cls(Moments.zero(hidden_size), Moments.zero(hidden_size), np.zeros((hidden_size, hidden_size)))

    @classmethod
    def of(cls, f: np.ndarray, g: np.ndarray | None = None) -> Self:
        """The moments of embeddings f [n, D] and, optionally, g [n, D]."""
        if g is None:
            return cls(Moments.of(f))
        of_f, of_g = Moments.of(f), Moments.of(g)
        return cls(of_f, of_g, (f.astype(np.float64) - of_f.mean).T @ (g.astype(np.float64) - of_g.mean))

    @property
    def cross_covariance(self) -> np.ndarray:
        """[D, D], centred, divided by n."""
        assert self.cross_scatter is not None
        return self.cross_scatter / max(1, self.f.count)


def merge(a: PairMoments, b: PairMoments) -> PairMoments:
    """The moments of both sets of texts together."""
    f = _merge_one(a.f, b.f)
    if a.g is None or b.g is None:
        return PairMoments(f)
    assert a.cross_scatter is not None and b.cross_scatter is not None
    cross = a.cross_scatter + b.cross_scatter + _between(a.f, b.f) * np.outer(b.f.mean - a.f.mean, b.g.mean - a.g.mean)
    return PairMoments(f, _merge_one(a.g, b.g), cross)


def merge_all(parts: Iterable[PairMoments]) -> PairMoments:
    """All parts merged in the order given: the same parts in the same order are the same bits.

    Raises:
      ValueError: no part.
    """
    merged = None
    for part in parts:
        merged = part if merged is None else merge(merged, part)
    if merged is None:
        raise ValueError("no moments to merge: start from PairMoments.zero.")
    return merged


def _between(a: Moments, b: Moments) -> float:
    return a.count * b.count / max(1, a.count + b.count)


def _merge_one(a: Moments, b: Moments) -> Moments:
    count = a.count + b.count
    if not count:
        return a
    delta = b.mean - a.mean
    return Moments(
        count=count,
        mean=a.mean + delta * (b.count / count),
        scatter=a.scatter + b.scatter + _between(a, b) * np.outer(delta, delta),
        unit_sum=a.unit_sum + b.unit_sum,
    )


def pack_symmetric(matrix: np.ndarray) -> np.ndarray:
    """The upper triangle of a symmetric [D, D], row by row: [D (D + 1) / 2]."""
    return matrix[np.triu_indices(len(matrix))]


def unpack_symmetric(packed: np.ndarray, hidden_size: int) -> np.ndarray:
    """The symmetric [D, D] of its packed upper triangle."""
    matrix = np.zeros((hidden_size, hidden_size), packed.dtype)
    matrix[np.triu_indices(hidden_size)] = packed
    return matrix + np.triu(matrix, 1).T
