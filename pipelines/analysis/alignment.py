"""Do texts align with their own tokens? Hit@K, LAR and GAR of "A Text is Worth Several Tokens" (arXiv 2406.17378).

n texts, k kept tokens, V vocabulary size; A_s the aligned tokens of text s, best first, T_s its own tokens.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from keytokens.pipelines.analysis import bootstrap
from keytokens.pipelines.analysis.ragged import Ragged

SWEEP = (1, 2, 3, 5, 10, 20, 50, 100, 200, 256)
NUM_GROUPS = 20


@dataclasses.dataclass(frozen=True)
class Definition:
    """How texts are counted.

    Attributes:
      hit_at: K of Hit@K.
      cut: no aligned token past this rank counts in LAR and GAR; None for the first |T_s| of them, as the paper says.
      repeats: |T_s| of "the first |T_s|" counts repeated tokens, while the division by |T_s| does not.
    """

    hit_at: int = 10
    cut: int | None = None
    repeats: bool = False


def paper_code(hit_at: int = 10) -> Definition:
    """What the paper's public code counts; it also takes special tokens for tokens of the text: put them around."""
    return Definition(hit_at=hit_at, cut=hit_at, repeats=True)


@dataclasses.dataclass(frozen=True)
class TextAlignment:
    """What each text counts: what can be had per text, for means and intervals.

    Attributes:
      first_hit: int64 [n], rank from 0 of the best aligned token that stands in the text; k where none does.
      local_rate: float64 [n], |first |T_s| of A_s, meeting T_s| / |T_s|; nan where T_s is empty.
      num_tokens: int64 [n], |T_s|, repeats not counted.
      incomplete: bool [n], |T_s| exceeds k, so that the local rate is a lower bound.
    """

    first_hit: np.ndarray
    local_rate: np.ndarray
    num_tokens: np.ndarray
    incomplete: np.ndarray


@dataclasses.dataclass(frozen=True)
class Alignment:
    """The metrics of a corpus.

    Attributes:
      hit: Hit@K, share of texts of which A_s and T_s meet.
      lar: local alignment rate, mean of the local rates.
      gar: global alignment rate, |union of hits| / |union of T_s|.
      hit_at: K.
      num_texts: texts with tokens; the others are left out.
      num_left_out: texts without any token.
      num_incomplete: texts with more tokens than k: LAR and GAR are lower bounds by them.
      sweep: K -> (Hit@K, LAR and GAR with no aligned token past rank K).
    """

    hit: bootstrap.Interval
    lar: bootstrap.Interval
    gar: bootstrap.Interval
    hit_at: int
    num_texts: int
    num_left_out: int
    num_incomplete: int
    sweep: dict[int, tuple[float, float, float]]


def in_text(indices: np.ndarray, own: Ragged) -> np.ndarray:
    """bool [n, k]: whether each aligned token, int [n, k], is one of the text's own."""
    size = int(max(indices.max(initial=0), own.ids.max(initial=0))) + 1
    return np.isin(indices + np.arange(len(indices))[:, None] * size, own.rows * size + own.ids)


def distinct(own: Ragged) -> Ragged:
    """Every list without repeats, ascending."""
    size = int(own.ids.max(initial=0)) + 1
    keys = np.unique(own.rows * size + own.ids)
    offsets = np.searchsorted(keys, np.arange(len(own) + 1) * size)
    return Ragged((keys % size).astype(np.int32), offsets.astype(np.int64))


def align_texts(indices: np.ndarray, own: Ragged, definition: Definition = Definition()) -> TextAlignment:
    """What each text counts.

    Args:
      indices: int [n, k], aligned tokens, best first.
      own: n lists of the texts' own tokens, repeats included.
      definition: how to count.
    """
    return _per_text(in_text(indices, own), own, distinct(own), definition)


def _per_text(hits: np.ndarray, own: Ragged, sets: Ragged, definition: Definition) -> TextAlignment:
    k = hits.shape[1]
    num_tokens = sets.lengths
    first = _num_first(own, sets, definition, k)
    counted = np.concatenate([np.zeros((len(hits), 1), np.int64), hits.cumsum(1)], axis=1)
    found = np.take_along_axis(counted, first[:, None], 1)[:, 0]
    with np.errstate(invalid="ignore"):
        local_rate = np.where(num_tokens > 0, found / num_tokens, math.nan)
    return TextAlignment(
        first_hit=np.where(hits.any(1), hits.argmax(1), k),
        local_rate=local_rate,
        num_tokens=num_tokens,
        incomplete=num_tokens > k if definition.cut is None else np.zeros(len(hits), bool),
    )


def _num_first(own: Ragged, sets: Ragged, definition: Definition, k: int) -> np.ndarray:
    """How many of A_s count: |T_s|, at most the cut and k."""
    wanted = own.lengths if definition.repeats else sets.lengths
    return np.minimum(wanted, k if definition.cut is None else min(k, definition.cut))


class AlignmentCounter:
    """Counts a corpus block by block, so that no corpus is too large. Memory: V * 20 counts, and three numbers a text.

    Args:
      vocab_size: V.
      definition: how to count.
    """

    def __init__(self, vocab_size: int, definition: Definition = Definition()):
        self.definition = definition
        # Per group of texts, in how many of them each token is a hit, and stands at all: what GAR's jackknife needs.
        self._hit_counts, self._own_counts = np.zeros((2, NUM_GROUPS, vocab_size), np.int64)
        self._sweep_hits = {at: np.zeros(vocab_size, bool) for at in SWEEP}
        self._sweep_local = dict.fromkeys(SWEEP, 0.0)
        self._parts: list[TextAlignment] = []
        self._rows = 0
        self._k = 0

    def add(self, indices: np.ndarray, own: Ragged) -> None:
        """Counts a block of texts: aligned tokens int [n, k], best first, and the texts' own tokens."""
        hits, sets = in_text(indices, own), distinct(own)
        n, k = indices.shape
        self._k = k
        self._parts.append(_per_text(hits, own, sets, self.definition))
        groups = (self._rows + np.arange(n)) % NUM_GROUPS
        self._rows += n
        counts = _num_first(own, sets, self.definition, k)
        within = hits & (np.arange(k) < counts[:, None])
        np.add.at(self._hit_counts, (np.broadcast_to(groups[:, None], (n, k))[within], indices[within]), 1)
        np.add.at(self._own_counts, (groups[sets.rows], sets.ids), 1)
        sizes = np.maximum(sets.lengths, 1)
        for at in SWEEP:
            part = within[:, :at]
            self._sweep_hits[at][indices[:, :at][part]] = True
            self._sweep_local[at] += float((part.sum(1) / sizes).sum())

    @property
    def texts(self) -> TextAlignment:
        """What each text counted so far, in the order added."""
        names = [field.name for field in dataclasses.fields(TextAlignment)]
        empty = align_texts(np.zeros((0, 1), np.int64), Ragged.of([]))
        parts = self._parts or [empty]
        return TextAlignment(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def result(self) -> Alignment:
        """The metrics of all texts added."""
        texts = self.texts
        counted = texts.num_tokens > 0
        hit_at = self.definition.hit_at
        num_texts = int(counted.sum())
        first_hit = texts.first_hit[counted]
        union = int((self._own_counts.sum(0) > 0).sum())
        sweep = {
            at: (
                float((first_hit < at).mean()),
                self._sweep_local[at] / num_texts,
                int(self._sweep_hits[at].sum()) / union,
            )
            for at in SWEEP
            if num_texts and at <= self._k
        }
        return Alignment(
            hit=bootstrap.mean_interval(first_hit < hit_at),
            lar=bootstrap.mean_interval(texts.local_rate[counted]),
            gar=self._gar(num_texts),
            hit_at=hit_at,
            num_texts=num_texts,
            num_left_out=int((~counted).sum()),
            num_incomplete=int(texts.incomplete[counted].sum()),
            sweep=sweep,
        )

    def _gar(self, num_texts: int) -> bootstrap.Interval:
        hits, own = self._hit_counts.sum(0), self._own_counts.sum(0)
        if not own.any():
            return bootstrap.Interval(math.nan, math.nan, math.nan, 0)
        without = [
            ((hits - self._hit_counts[group]) > 0).sum() / max(1, ((own - self._own_counts[group]) > 0).sum())
            for group in range(NUM_GROUPS)
        ]
        estimate = float((hits > 0).sum() / (own > 0).sum())
        return bootstrap.jackknife_interval(
            estimate, np.array(without if num_texts > NUM_GROUPS else []), count=num_texts
        )


def measure(indices: np.ndarray, own: Ragged, *, vocab_size: int, definition: Definition = Definition()) -> Alignment:
    """The metrics of texts that are all in memory; arguments as in `align_texts`."""
    counter = AlignmentCounter(vocab_size, definition)
    counter.add(indices, own)
    return counter.result()


def other_texts(num_rows: int, num_others: int, *, seed: int, same: bool) -> np.ndarray:
    """For each of `num_rows` texts another text, int64 [num_rows] below `num_others`, for the shuffled control.

    Args:
      num_rows: texts that need one.
      num_others: texts to choose from; all are used about as often.
      seed: of the choice.
      same: whether the others are these same texts: then none is given itself, if there are two.
    """
    order = np.random.default_rng(seed).permutation(num_others)
    if not same:
        return order[np.arange(num_rows) % num_others]
    chosen = np.empty(num_rows, np.int64)
    chosen[order] = np.roll(order, 1)  # one cycle through all of them: no text meets itself
    return chosen


def class_shares(indices: np.ndarray, classes: Sequence[np.ndarray]) -> np.ndarray:
    """Of each text the share of its aligned tokens in each class: float64 [n, c] from int [n, k] and c masks [V]."""
    return np.stack([mask[indices].mean(1) for mask in classes], axis=1)
