"""Which rows repeat the id of an earlier row? Two passes over the ids, in 8 to 12 bytes of memory a row."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

_PIECE_ROWS = 1 << 14


class Repeat(NamedTuple):
    """A row whose id an earlier row has, and the first row that has it."""

    row: int
    doc_id: str
    first: int


def repeats(doc_ids: Callable[[], Iterable[str]], num_rows: int) -> Iterator[Repeat]:
    """Every row that repeats an id, in order.

    The first pass sorts 64 bits of hash in place, 8 bytes a row, and keeps those that several rows share: 4 bytes a row
    at most, and none without repeats. The second compares 64 other bits of the rows that share some. Ids whose 128 bits
    agree are taken for equal: of 10^9 different ids any two agree with a probability of 10^-21.

    Args:
      doc_ids: reads all ids from the start.
      num_rows: how many there are.
    """
    shared = _shared(doc_ids(), num_rows)
    if not len(shared):
        return
    first = np.full(len(shared), -1, np.int64)
    other = np.zeros(len(shared), np.uint64)  # the 64 other bits of that row
    met: dict[tuple[int, int], int] = {}  # first rows of ids that share 64 bits with a different id: next to none
    for row0, ids, hashes in _pieces(doc_ids()):
        slots = np.minimum(np.searchsorted(shared, hashes[:, 0]), len(shared) - 1)
        for i in np.flatnonzero(shared[slots] == hashes[:, 0]).tolist():
            row, slot, bits = row0 + i, int(slots[i]), int(hashes[i, 1])
            if first[slot] < 0:
                first[slot], other[slot] = row, bits
                continue
            earlier = int(first[slot]) if other[slot] == bits else met.setdefault((slot, bits), row)
            if earlier != row:
                yield Repeat(row, ids[i], earlier)


def _shared(doc_ids: Iterable[str], num_rows: int) -> np.ndarray:
    """The hashes, uint64, that more than one row has, ascending."""
    ordered = np.empty(num_rows, np.uint64)
    for row0, ids, hashes in _pieces(doc_ids):
        ordered[row0 : row0 + len(ids)] = hashes[:, 0]
    ordered.sort()
    kept = 0  # collected at the front: of every two that are read at most one is kept
    for start in range(0, num_rows, _PIECE_ROWS):
        piece = ordered[start : start + _PIECE_ROWS + 1]
        found = np.unique(piece[1:][piece[1:] == piece[:-1]])
        if kept and len(found) and found[0] == ordered[kept - 1]:
            found = found[1:]
        ordered[kept : kept + len(found)] = found
        kept += len(found)
    return ordered[:kept].copy()


def _pieces(doc_ids: Iterable[str]) -> Iterator[tuple[int, list[str], np.ndarray]]:
    """The next n ids: the first one's row, the ids, and two hashes of each, uint64 [n, 2]."""
    iterator, row0 = iter(doc_ids), 0
    while ids := list(itertools.islice(iterator, _PIECE_ROWS)):
        yield row0, ids, np.frombuffer(b"".join(map(_digest, ids)), np.uint64).reshape(-1, 2)
        row0 += len(ids)


def _digest(doc_id: str) -> bytes:
    return hashlib.blake2b(doc_id.encode(), digest_size=16).digest()
