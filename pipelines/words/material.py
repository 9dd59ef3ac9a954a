"""What a study works on: the list of words, BATS, scored pairs, and the scopes in which it measures.

Everything is measured twice: on a model's own words, those of the list that it has vectors for, and on the common
words, those that all models have. Only the second compares models; only the first is a model's full scale.
"""

import dataclasses
from collections.abc import Sequence

from keytokens.pipelines.words import bats, similarity_sets

OWN, COMMON, BOTH, LISTED = "own", "common", "both", "listed"


@dataclasses.dataclass(frozen=True)
class Material:
    """The words and pairs of a study.

    Attributes:
      words: of the list, distinct.
      categories: of BATS; empty without it.
      sets: pairs with human scores.
      candidates: among which analogies are answered: OWN, COMMON, BOTH, one after the other, or a list of words.
      num_random: random pairs drawn.
      num_neighbours: k, or 0 for none.
      seed: of everything random.
    """

    words: Sequence[str]
    categories: Sequence[bats.Category] = ()
    sets: Sequence[similarity_sets.SimilaritySet] = ()
    candidates: str | Sequence[str] = BOTH
    num_random: int = 100_000
    num_neighbours: int = 10
    seed: int = 0

    def all_words(self) -> list[str]:
        """Every word that a model may be asked for."""
        listed = [] if isinstance(self.candidates, str) else self.candidates
        of_sets = [word for each in self.sets for word in (*each.left, *each.right)]
        return list(dict.fromkeys([*self.words, *listed, *bats.words_of(self.categories), *of_sets]))
