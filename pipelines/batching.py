"""Which shape does a text compute in? A fixed ladder, so that XLA compiles few programs and a row's bits are its own.

The shape of a text's batch depends on the text's own length and on nothing else: a short last batch is filled with
empty rows, never merged into another shape, since the same text in another shape differs in its last bits (measured).
"""

import bisect
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Batch:
    """Texts that compute together.

    Attributes:
      members: positions in the list that was batched, at most `size`.
      size: rows of the computed array.
      length: positions of the computed array.
    """

    members: tuple[int, ...]
    size: int
    length: int


def length_ladder(max_length: int) -> tuple[int, ...]:
    """16, 32, 48, 64, 96, 128, ...: doublings and their midpoints below `max_length`, and `max_length` itself."""
    rungs, doubling = [16], 32
    while doubling < max_length:
        rungs += [doubling, doubling * 3 // 2]
        doubling *= 2
    return (*(rung for rung in rungs if rung < max_length), max_length)


def batch_size(length: int, batch_tokens: int) -> int:
    """Rows of a batch at this length: as many as the token budget holds, at least one."""
    return max(1, batch_tokens // length)


def plan_batches(lengths: Sequence[int], *, max_length: int, batch_tokens: int) -> Iterator[Batch]:
    """Batches that cover every position once, shortest first.

    Args:
      lengths: tokens of each text, at most `max_length`.
      max_length: the longest rung.
      batch_tokens: budget of size x length in tokens, padding included.
    """
    rungs = length_ladder(max_length)
    rung_of = np.array([bisect.bisect_left(rungs, length) for length in lengths], np.int64)
    order = np.argsort(rung_of, kind="stable")
    for rung in np.unique(rung_of):
        members = order[rung_of[order] == rung]
        size = batch_size(rungs[rung], batch_tokens)
        for start in range(0, len(members), size):
            yield Batch(tuple(members[start : start + size].tolist()), size, rungs[rung])
