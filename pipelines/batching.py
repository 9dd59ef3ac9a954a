"""Which texts compute together, and in which shape? Texts share rows, so that little padding is computed.

Shapes come from short ladders, so that XLA compiles few programs. Three layouts:

- "alone": a text a row, for models that read a row as one text.
- "rows": texts share rows little longer than the longest of them, since XLA computes attention over whole rows.
- "flat": a whole batch is one row, where attention costs only what each text's own pairs cost.

Rows are filled greedily: the longest text left, then again and again the longest that still fits.
"""

import bisect
import collections
import dataclasses
from collections.abc import Iterator, Sequence

# Fewest positions a text is reckoned to take, so that the texts of a batch have an upper bound.
MIN_TEXT_TOKENS = 4
# Rows of short texts: longer ones waste attention, shorter ones the space behind the last text.
SHORTEST_ROW = 64
# Up to here a longer row is tried for a better fill; beyond, attention over the row costs more than padding.
LONGEST_TRIED = 128
GOOD_FILL = 0.97
# Rows that a full batch leaves over compute in batches of a fraction of its size, rather than with empty rows.
SMALL_FRACTION = 8
# Lengths of a flat batch, in eighths of the token budget. Below the budget for the end of a list, around it to fit
# texts of one length: 1,024 tokens hold four texts of 230, and 1,152 hold five.
SMALL_EIGHTHS = (1, 2, 4)
FULL_EIGHTHS = (8, 9, 7, 10, 6)

LAYOUTS = ("alone", "rows", "flat")


@dataclasses.dataclass(frozen=True)
class Batch:
    """Texts that compute together.

    Attributes:
      rows: for each row in use the positions, in the list that was batched, of the texts that stand in it, in order.
      size: rows of the computed array.
      length: positions of a row.
    """

    rows: tuple[tuple[int, ...], ...]
    size: int
    length: int

    @property
    def members(self) -> tuple[int, ...]:
        """All texts, row after row."""
        return tuple(member for row in self.rows for member in row)


def most_texts(size: int, length: int) -> int:
    """How many texts a batch of this shape holds at most."""
    return size * _most_in_row(length)


def length_ladder(max_length: int, *, first: int = 16) -> tuple[int, ...]:
    """Lengths of rows: multiples of 32 to 256, then four to a doubling, to the first that holds `max_length`."""
    rungs = [first]
    while rungs[-1] < max_length:
        step = max(32, 1 << (rungs[-1].bit_length() - 3)) if rungs[-1] >= 32 else 16
        rungs.append(rungs[-1] + step)
    return tuple(rungs)


def flat_ladder(max_length: int, batch_tokens: int) -> tuple[int, ...]:
    """Lengths of flat batches, ascending: parts of the token budget, and longer ones where a text needs them."""
    lengths = {max(1, batch_tokens * eighths // 8) for eighths in (*SMALL_EIGHTHS, *FULL_EIGHTHS)}
    return tuple(sorted(lengths | {rung for rung in length_ladder(max_length) if rung > max(lengths)}))


def batch_sizes(length: int, batch_tokens: int) -> tuple[int, ...]:
    """Numbers of rows of this length that compute together: a full batch, and a small one."""
    full = max(1, batch_tokens // length)
    return tuple(dict.fromkeys((full, max(1, full // SMALL_FRACTION))))


def shapes(layout: str, *, max_length: int, batch_tokens: int) -> list[tuple[int, int]]:
    """Every (size, length) that `plan_batches` may use."""
    if layout == "flat":
        return [(1, length) for length in flat_ladder(max_length, batch_tokens)]
    return [(size, length) for length in _row_ladder(layout, max_length) for size in batch_sizes(length, batch_tokens)]


def plan_batches(lengths: Sequence[int], *, layout: str, max_length: int, batch_tokens: int) -> Iterator[Batch]:
    """Batches that hold every text once. They depend on the lengths alone.

    Args:
      lengths: tokens of each text, from 1 to `max_length`.
      layout: one of LAYOUTS.
      max_length: of a text.
      batch_tokens: about how many positions compute together.
    """
    assert layout in LAYOUTS, layout
    left = _Texts(lengths)
    if layout == "flat":
        rungs = flat_ladder(max_length, batch_tokens)
        while left:
            length, row = _best(left, _flat_lengths(left, rungs, batch_tokens))
            left.take(row)
            yield Batch((row,), 1, length)
        return
    rows: dict[int, list[tuple[int, ...]]] = collections.defaultdict(list)
    share = layout == "rows"
    rungs = _row_ladder(layout, max_length)
    while left:
        least = bisect.bisect_left(rungs, left.longest)
        if share:
            tried = [rung for rung in rungs[least:] if rung <= max(LONGEST_TRIED, rungs[least])]
            length, row = _best(left, tried)
        else:
            length, row = rungs[least], left.fill(left.longest)
        left.take(row)
        rows[length].append(row)
    for length in sorted(rows):
        yield from _in_batches(rows[length], length, batch_tokens)


def _row_ladder(layout: str, max_length: int) -> tuple[int, ...]:
    if layout == "rows":
        return length_ladder(max(max_length, LONGEST_TRIED), first=SHORTEST_ROW)
    return length_ladder(max_length)


class _Texts:
    """The texts that are left, by length."""

    def __init__(self, lengths: Sequence[int]):
        self._of_length: dict[int, list[int]] = collections.defaultdict(list)
        for member in reversed(range(len(lengths))):
            self._of_length[lengths[member]].append(member)
        self._lengths = lengths
        self._present = sorted(self._of_length)
        self.tokens = sum(lengths)

    def __bool__(self) -> bool:
        return bool(self._present)

    @property
    def longest(self) -> int:
        return self._present[-1]

    def fill(self, space: int) -> tuple[int, ...]:
        """Texts for a row of `space` positions, the longest that fits first, without taking them."""
        row: list[int] = []
        used: collections.Counter[int] = collections.Counter()
        most, at = _most_in_row(space), len(self._present)
        while len(row) < most:
            at = bisect.bisect_right(self._present, space, 0, at)
            while at and used[self._present[at - 1]] == len(self._of_length[self._present[at - 1]]):
                at -= 1
            if not at:
                break
            length = self._present[at - 1]
            used[length] += 1
            row.append(self._of_length[length][-used[length]])
            space -= length
        return tuple(row)

    def take(self, row: tuple[int, ...]) -> None:
        """Removes a row that `fill` returned last."""
        for member in row:
            length = self._lengths[member]
            taken = self._of_length[length].pop()
            assert taken == member, "a row must be taken before another is filled"
            self.tokens -= length
            if not self._of_length[length]:
                self._present.remove(length)

    def size(self, row: tuple[int, ...]) -> int:
        """Tokens of the texts of a row."""
        return sum(self._lengths[member] for member in row)


def _most_in_row(length: int) -> int:
    return max(1, length // MIN_TEXT_TOKENS)


def _best(left: _Texts, tried: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """The first length that texts fill well, or the one that they fill best, and the texts."""
    fullest: tuple[float, int, tuple[int, ...]] = (-1.0, tried[0], ())
    for length in tried:
        row = left.fill(length)
        share = left.size(row) / length
        if share >= GOOD_FILL:
            return length, row
        if share > fullest[0]:
            fullest = (share, length, row)
    return fullest[1:]


def _flat_lengths(left: _Texts, rungs: Sequence[int], batch_tokens: int) -> list[int]:
    """Which flat lengths to try, the favourite first."""
    if left.tokens <= batch_tokens * max(SMALL_EIGHTHS) // 8:
        return [rungs[bisect.bisect_left(rungs, left.tokens)]]
    tried = [max(1, batch_tokens * eighths // 8) for eighths in FULL_EIGHTHS]
    return [length for length in tried if length >= left.longest] or [rungs[bisect.bisect_left(rungs, left.longest)]]


def _in_batches(rows: list[tuple[int, ...]], length: int, batch_tokens: int) -> Iterator[Batch]:
    sizes = batch_sizes(length, batch_tokens)
    full, small = sizes[0], sizes[-1]
    start = 0
    while start < len(rows):
        size = full if len(rows) - start >= full else small
        yield Batch(tuple(rows[start : start + size]), size, length)
        start += size
