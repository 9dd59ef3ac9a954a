"""What does a backbone say once its leading components are moved to where the embedder has them?

h' = h_g + sum_j lambda_j V_j with lambda_j = v_j, after "A Text is Worth Several Tokens" (arXiv 2406.17378), which
moves the first: E h' = E h_g + sum_j lambda_j E V_j. n texts, D hidden size, J moved components, V vocabulary size, k
aligned tokens.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keytokens.pipelines.analysis import alignment
from keytokens.pipelines.analysis.bootstrap import Interval, mean_interval
from keytokens.pipelines.analysis.moments import Moments
from keytokens.pipelines.analysis.ragged import Ragged
from keytokens.pipelines.analysis.token_classes import TokenClasses

FACTORS = (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)


@dataclasses.dataclass(frozen=True)
class Point:
    """One shift of a sweep.

    Attributes:
      leading: how many components it moves, from the first.
      factor: t; lambda_j = t v_j for j <= leading.
      coefficients: float64 [J], the lambdas; zero past `leading`.
    """

    leading: int
    factor: float
    coefficients: np.ndarray

    @property
    def shift(self) -> float:
        """lambda_1, in the unit of h."""
        return float(self.coefficients[0])


@dataclasses.dataclass(frozen=True)
class CurvePoint:
    """What the backbone says at one shift.

    Attributes:
      leading: components moved.
      factor: of v_j.
      shift: lambda_1.
      own: alignment with the texts' own tokens.
      content: with those of content alone.
      stop_share: share of stop words and punctuation among the hit_at best.
      overlap: Jaccard index of the hit_at best with the embedder's, a mean over texts; None without an embedder.
    """

    leading: int
    factor: float
    shift: float
    own: alignment.Alignment
    content: alignment.Alignment
    stop_share: Interval
    overlap: Interval | None


def sweep_points(
    variation: np.ndarray, *, leading: Sequence[int] = (1,), factors: Sequence[float] = FACTORS
) -> list[Point]:
    """Every factor for every number of leading components; J is the largest of them. No shift at all stands once.

    Args:
      variation: [D], v_j of `spectrum.compare`.
      leading: numbers of components, from 1.
      factors: t.

    Raises:
      ValueError: more components than there are, or none.
    """
    if not leading or min(leading) < 1 or max(leading) > len(variation):
        raise ValueError(
            f"the leading components to move, {list(leading)}, must lie between 1 and the {len(variation)} there are."
        )
    points = []
    for number, count in enumerate(sorted(set(leading))):
        for factor in factors:
            if factor == 0.0 and number:
                continue
            coefficients = np.zeros(max(leading))
            coefficients[:count] = factor * variation[:count]
            points.append(Point(count, float(factor), coefficients))
    return points


def adjust(hidden: np.ndarray, components: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """h' float64 [n, D] of embeddings [n, D], along components [J, D] by coefficients [J]."""
    return np.asarray(hidden, np.float64) + np.asarray(coefficients) @ np.asarray(components)[: len(coefficients)]


def adjusted_moments(moments: Moments, shift: np.ndarray, unit_sum: np.ndarray) -> Moments:
    """The moments of embeddings that were all moved by `shift` [D]: the scatter stays, the mean moves.

    Args:
      moments: before.
      shift: [D].
      unit_sum: [D], sum of h' / |h'|, which needs the embeddings themselves.
    """
    mean = moments.mean + shift if moments.count else moments.mean
    return dataclasses.replace(moments, mean=mean, unit_sum=unit_sum)


class CurveCounter:
    """Counts the curves of a corpus block by block.

    Args:
      points: of the sweep.
      classes: of the vocabulary.
      hit_at: K of Hit@K, of the stop-word share and of the overlap.
    """

    def __init__(self, points: Sequence[Point], classes: TokenClasses, *, hit_at: int = 10):
        self.points, self.hit_at = list(points), hit_at
        self._content = classes.content
        self._stop = classes.stop_word | classes.punctuation
        definition = alignment.Definition(hit_at=hit_at)
        size = len(classes.content)
        self._own = [alignment.AlignmentCounter(size, definition) for _ in self.points]
        self._of_content = [alignment.AlignmentCounter(size, definition) for _ in self.points]
        self._stop_shares: list[list[np.ndarray]] = [[] for _ in self.points]
        self._overlaps: list[list[np.ndarray]] = [[] for _ in self.points]

    def add(self, indices: np.ndarray, own: Ragged, *, embedder: np.ndarray | None = None) -> None:
        """Counts a block of texts.

        Args:
          indices: int [n, L, k], aligned tokens at each point, best first.
          own: n lists of the texts' own tokens.
          embedder: int [n, at least hit_at], the embedder's aligned tokens, best first.
        """
        content = own.keep(self._content)
        for at in range(len(self.points)):
            tokens = indices[:, at]
            self._own[at].add(tokens, own)
            self._of_content[at].add(tokens, content)
            best = tokens[:, : self.hit_at]
            self._stop_shares[at].append(self._stop[best].mean(1))
            if embedder is not None:
                self._overlaps[at].append(_jaccard(best, embedder[:, : self.hit_at]))

    def result(self) -> list[CurvePoint]:
        """The curves, a point each."""
        return [
            CurvePoint(
                leading=point.leading,
                factor=point.factor,
                shift=point.shift,
                own=self._own[at].result(),
                content=self._of_content[at].result(),
                stop_share=mean_interval(np.concatenate([np.zeros(0), *self._stop_shares[at]])),
                overlap=mean_interval(np.concatenate(self._overlaps[at])) if self._overlaps[at] else None,
            )
            for at, point in enumerate(self.points)
        ]


def adjustment_curve(
    hidden: np.ndarray,
    head: np.ndarray,
    own: Ragged,
    *,
    components: np.ndarray,
    points: Sequence[Point],
    classes: TokenClasses,
    k: int,
    hit_at: int = 10,
    embedder: np.ndarray | None = None,
) -> list[CurvePoint]:
    """The curves of embeddings that are all in memory; holds [n, V] logits.

    Args:
      hidden: [n, D], the backbone's.
      head: [V, D].
      own: n lists of the texts' own tokens.
      components: [J or more, D], row j is V_j.
      points: from `sweep_points`.
      classes: of the vocabulary.
      k: aligned tokens to select; LAR and GAR need as many as the longest text has tokens.
      hit_at: as in `CurveCounter`.
      embedder: as in `CurveCounter.add`.
    """
    logits = np.asarray(hidden, np.float64) @ np.asarray(head, np.float64).T
    along = np.asarray(components, np.float64)[: len(points[0].coefficients)] @ np.asarray(head, np.float64).T
    counter = CurveCounter(points, classes, hit_at=hit_at)
    selected = [np.argsort(-(logits + p.coefficients @ along), axis=1, kind="stable")[:, :k] for p in points]
    counter.add(np.stack(selected, axis=1), own, embedder=embedder)
    return counter.result()


def _jaccard(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """As `overlap.jaccard`, for all texts at once."""
    offsets = np.arange(len(b) + 1, dtype=np.int64) * b.shape[1]
    both = alignment.in_text(a, Ragged(b.reshape(-1).astype(np.int32), offsets)).sum(1)
    return both / np.maximum(1, a.shape[1] + b.shape[1] - both)
