"""What a study found: plain values, for the report and for JSON. n words, p pairs, M models."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from keytokens.pipelines.analysis.pair_statistics import PairHistogram
from keytokens.pipelines.analysis.separation import Separation
from keytokens.pipelines.words.analogies import Analogies


@dataclasses.dataclass(frozen=True)
class AllPairs:
    """The cosines of all pairs of n words of one model.

    Attributes:
      num_words: n.
      num_pairs: n(n-1)/2.
      mean: of the histogram.
      std: likewise.
      mean_closed_form: from the vectors, without the histogram.
      std_closed_form: likewise.
      quantiles: share -> cosine.
      sec: that the histogram took.
      histogram: bins of 0.001.
    """

    num_words: int
    num_pairs: int
    mean: float
    std: float
    mean_closed_form: float
    std_closed_form: float
    quantiles: dict[float, float]
    sec: float
    histogram: PairHistogram


@dataclasses.dataclass(frozen=True)
class SetScore:
    """One model on one set of scored pairs.

    Attributes:
      spearman: with people's scores, over the model's own pairs; nan if it is not defined.
      covered: pairs it has vectors for.
      total: pairs of the set.
      spearman_common: over the pairs that all models have.
      covered_common: how many those are.
    """

    spearman: float
    covered: int
    total: int
    spearman_common: float
    covered_common: int


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """Every word's most similar words.

    Attributes:
      words: n of them.
      rows: int32 [n, k], most similar first.
      cosines: float32 [n, k].
    """

    words: Sequence[str]
    rows: np.ndarray
    cosines: np.ndarray


@dataclasses.dataclass(frozen=True)
class ModelFindings:
    """Everything of one model; by scope, "own" or "common", where both are measured.

    Attributes:
      name: its label.
      kind: how its vectors came about.
      dimension: D.
      covered: words of the list it has.
      skipped: vectors not taken, by reason.
      all_pairs: by scope.
      cosines: of "semantic", "morphological" and "random" pairs, by scope.
      separation: by scope, of "semantic" and "morphological" pairs from random ones.
      sets: by name of the set.
      analogies: on BATS by candidate set, "own", "common" or "listed"; empty without BATS.
      neighbours: rows [n, k] among the model's own words of the list, or None.
    """

    name: str
    kind: str
    dimension: int
    covered: int
    skipped: Mapping[str, int]
    all_pairs: dict[str, AllPairs]
    cosines: dict[str, dict[str, np.ndarray]]
    separation: dict[str, dict[str, Separation]]
    sets: dict[str, SetScore]
    analogies: dict[str, Analogies]
    neighbours: Neighbours | None


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """A pair of words that two models A and B see differently.

    Attributes:
      left: a word.
      right: another.
      rank_difference: A's rank of the pair less B's, in shares of all pairs: near 1 if A finds it the most similar of
        all and B the least.
      cosines: A's and B's.
    """

    left: str
    right: str
    rank_difference: float
    cosines: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Agreement:
    """All models on the same pairs of common words.

    Attributes:
      num_pairs: how many.
      spearman: float64 [M, M].
      kendall: tau-b, float64 [M, M].
      order: of the models, so that those that agree stand together.
      disagreements: by "A | B", the pairs with the largest differences of rank.
    """

    num_pairs: int
    spearman: np.ndarray
    kendall: np.ndarray
    order: list[int]
    disagreements: dict[str, list[Disagreement]]


@dataclasses.dataclass(frozen=True)
class Findings:
    """Everything.

    Attributes:
      models: in the order they were asked for.
      num_words: of the list.
      num_common: of them, words that all models have.
      agreement: on "random" pairs and on "bats" pairs; left out where there are fewer than two.
      cka: linear CKA between the models' matrices of common words, float64 [M, M].
    """

    models: list[ModelFindings]
    num_words: int
    num_common: int
    agreement: dict[str, Agreement]
    cka: np.ndarray

    @property
    def has_bats(self) -> bool:
        """Whether BATS was given."""
        return all(model.analogies for model in self.models)

    @property
    def candidates(self) -> list[str]:
        """The candidate sets that analogies were answered from."""
        return list(self.models[0].analogies)
