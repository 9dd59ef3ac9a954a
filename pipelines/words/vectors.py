"""The words of one model with their unit vectors, and how a word is looked up. n words, D dimension."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What a source gave.

    Attributes:
      words: n of them, distinct, as the source spells them.
      matrix: float32 [n, D], as the source has them.
      skipped: what was not taken, by reason: {"repeated word": 3}.
    """

    words: Sequence[str]
    matrix: np.ndarray
    skipped: Mapping[str, int] = dataclasses.field(default_factory=dict)


class WordVectors:
    """The vectors of one model at unit length; vectors that have no direction are out of vocabulary.

    A word is found as it is spelled, and a word with capitals that the model lacks in lower case, as most published
    vectors have it. Everything else is out of vocabulary.

    Args:
      name: of the model, as the report shows it.
      kind: how it made its vectors.
      loaded: words and vectors.

    Attributes:
      unit: float32 [n, D].
      skipped: as loaded, and vectors that are zero or not finite.
    """

    def __init__(self, name: str, kind: str, loaded: Loaded):
        self.name, self.kind = name, kind
        matrix = np.asarray(loaded.matrix, np.float32)
        finite = np.asarray(np.isfinite(matrix).all(axis=1))
        largest = np.abs(np.where(finite[:, None], matrix, 0)).max(1, initial=0)
        usable = largest > 0
        scaled = matrix[usable] / largest[usable, None]
        self.unit = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
        self.words = [word for word, kept in zip(loaded.words, usable, strict=True) if kept]
        self._rows = {word: row for row, word in enumerate(self.words)}
        bad = {"not finite": int((~finite).sum()), "zero vector": int((finite & ~usable).sum())}
        self.skipped = {**loaded.skipped, **{reason: count for reason, count in bad.items() if count}}

    @property
    def dimension(self) -> int:
        """D."""
        return self.unit.shape[1]

    def row(self, word: str) -> int | None:
        """The word's row, or None where it is out of vocabulary."""
        found = self._rows.get(word)
        return self._rows.get(word.lower()) if found is None else found

    def rows(self, words: Iterable[str]) -> np.ndarray:
        """int64 [n], -1 where a word is out of vocabulary."""
        found = (self.row(word) for word in words)
        return np.array([-1 if row is None else row for row in found], np.int64)

    def cosines(self, left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """float64 [p], of pairs of words; nan where one of the two is out of vocabulary."""
        rows = np.stack([self.rows(left), self.rows(right)])
        products = np.einsum("pd,pd->p", self.unit[rows[0]], self.unit[rows[1]], dtype=np.float64)
        return np.where((rows >= 0).all(0), products, np.nan)


def spellings(words: Iterable[str]) -> frozenset[str]:
    """The words and their lower-case forms: all that a reader of a large file has to keep."""
    return frozenset(spelling for word in words for spelling in (word, word.lower()))
