"""Statistics of a store's postings and columns, as a report shows them."""

from collections import Counter

import numpy as np

from keytokens.pipelines.report.data import Histogram
from keytokens.pipelines.store import reader

_SAMPLE_ROWS = 50_000
_HUB_RANKS = 10
_BINS = 40
_FINE_PER_LOGIT = 32


class PostingStatistics:
    """Statistics of at most 50,000 rows with postings, in chunks spread evenly over the store.

    Attributes:
      num_rows: rows looked at.
      document_frequency: int64 [V], in how many of them each token is a key token.
      hubs: token id -> in how many of them it is among the ten best.
      weights: logits of their postings, in at most 40 bins of equal width.
      weight_by_rank: float64 [k], mean logit at each rank.
    """

    def __init__(self, store: reader.StoreReader, dead: np.ndarray):
        dims = store.dims
        starts = np.arange(0, dims.num_rows, dims.chunk_rows)[:: max(1, -(-dims.num_rows // _SAMPLE_ROWS))]
        self.num_rows = 0
        self.document_frequency = np.zeros(dims.vocab_size, np.int64)
        self.hubs: Counter[int] = Counter()
        by_floor: Counter[int] = Counter()
        total = np.zeros(dims.k)
        for start in starts.tolist():
            stop = min(start + dims.chunk_rows, dims.num_rows)
            indices, values = (part[~dead[start:stop]] for part in store.ranked_postings(start, stop))
            self.num_rows += len(indices)
            self.document_frequency += np.bincount(indices.reshape(-1), minlength=dims.vocab_size)
            self.hubs.update(indices[:, :_HUB_RANKS].reshape(-1).tolist())
            total += values.sum(0, dtype=np.float64)
            floors, counts = np.unique(np.floor(values * _FINE_PER_LOGIT).astype(np.int64), return_counts=True)
            by_floor.update(dict(zip(floors.tolist(), counts.tolist(), strict=True)))
        self.weight_by_rank = total / max(1, self.num_rows)
        self.weights = _merged_bins(by_floor)


def _merged_bins(by_floor: Counter[int]) -> Histogram:
    """Bins of 1/32, 1/16, ... logits, the finest of which there are at most 40."""
    low, high = (min(by_floor), max(by_floor)) if by_floor else (0, 0)
    width = 1
    while high // width - low // width >= _BINS:
        width *= 2
    first, last = low // width, high // width
    counts = np.zeros(last - first + 1, np.int64)
    for floor, count in by_floor.items():
        counts[floor // width - first] += count
    return Histogram(np.arange(first, last + 2) * (width / _FINE_PER_LOGIT), counts)


def histogram(values: np.ndarray) -> Histogram:
    """At most 40 equal bins over the integers' range."""
    if not values.size:
        return Histogram(np.array([0.0, 1.0]), np.zeros(1, np.int64))
    counts, edges = np.histogram(values, bins=int(min(_BINS, values.max() - values.min() + 1)))
    return Histogram(edges, counts)


def log_histogram(values: np.ndarray) -> Histogram:
    """Bins [1, 2), [2, 4), [4, 8), ... of positive integers."""
    if not values.size:
        return Histogram(np.array([1.0, 2.0]), np.zeros(1, np.int64))
    edges = 2.0 ** np.arange(int(np.log2(values.max())) + 2)
    return Histogram(edges, np.histogram(values, bins=edges)[0])
