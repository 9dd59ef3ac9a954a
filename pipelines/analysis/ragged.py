"""Lists of token ids of different lengths, one a text, as two arrays.

n texts, M ids in all.
"""

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np


@dataclasses.dataclass(frozen=True)
class Ragged:
    """n lists of ids.

    Attributes:
      ids: int32 [M], the lists one after another.
      offsets: int64 [n + 1]; list i is ids[offsets[i]:offsets[i + 1]].
    """

    ids: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, lists: Sequence[np.ndarray | Sequence[int]]) -> Self:
        """From n lists."""
        parts = [np.asarray(one, np.int32) for one in lists]
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
        return cls(np.concatenate([np.zeros(0, np.int32), *parts]), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """int64 [n], ids of each list, repeats included."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> np.ndarray:
        """int64 [M], the list that each id stands in."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, rows: np.ndarray) -> "Ragged":
        """The lists of these rows, in this order; rows may repeat."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths)
        return Ragged(self.ids[places], offsets)

    def keep(self, wanted: np.ndarray) -> "Ragged":
        """The lists without the ids for which `wanted` bool [V] is False."""
        kept = wanted[self.ids]
        ends = np.concatenate([[0], np.cumsum(kept)])
        return Ragged(self.ids[kept], ends[self.offsets].astype(np.int64))

    def around(self, before: Sequence[int], after: Sequence[int], *, where: np.ndarray) -> "Ragged":
        """The lists with the same ids put before and behind those that `where` bool [n] names."""
        lists = [self[row] for row in range(len(self))]
        for row in np.flatnonzero(where).tolist():
            lists[row] = np.concatenate([before, lists[row], after]).astype(np.int32)
        return Ragged.of(lists)
