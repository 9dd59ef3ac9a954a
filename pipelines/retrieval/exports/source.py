"""What is exported: the documents of an index as sparse vectors, and its lists by token.

F columns of the index, C columns of the exported fields.
"""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Iterator

import numpy as np

from keytokens.pipelines.retrieval.index import Index
from keytokens.pipelines.retrieval.postings import Gathered

FIELDS = ("key", "literal", "both")
TERMS = ("pieces", "ids")
INTEGER_LEVELS = 255
# Rows that are brought together from all lists at a time, and postings read from them at once.
_BLOCK_ROWS, _READ_POSTINGS = 65_536, 1 << 22
_LITERAL_PREFIX = "literal:"


@dataclasses.dataclass(frozen=True)
class Vector:
    """A document: its id, its row, and its tokens with their weights, by ascending column.

    Attributes:
      doc_id: of the document.
      row: in the store.
      columns: int64 [k], counted within the exported fields.
      weights: float32 [k], positive.
    """

    doc_id: str
    row: int
    columns: np.ndarray
    weights: np.ndarray


class Source:
    """An index, seen by an exporter.

    Args:
      index: to export.
      field: "key" (key tokens), "literal" (the texts' own tokens with BM25 impacts), or "both".
      terms: "pieces" of the vocabulary, or "ids".

    Raises:
      ValueError: the index has no literal field of its own.
    """

    def __init__(self, index: Index, *, field: str = "key", terms: str = "pieces"):
        if field not in FIELDS or terms not in TERMS:
            raise ValueError(f"field={field!r} is one of {', '.join(FIELDS)}; terms={terms!r} of {', '.join(TERMS)}.")
        if field != "key" and index.options.literal != "separate":
            raise ValueError(
                f"field={field!r}: this index has no literal field of its own (--literal={index.options.literal}). "
                "Build it with --literal=separate, or export the field key."
            )
        vocab_size = index.store.dims.vocab_size
        self.index, self.field, self._terms = index, field, terms
        self.first = vocab_size if field == "literal" else 0
        self.num_columns = 2 * vocab_size if field == "both" else vocab_size
        self.num_rows = index.store.dims.num_rows

    @functools.cached_property
    def terms(self) -> list[str]:
        """The C terms; in "both" fields literal tokens are ids from V on, or pieces behind "literal:"."""
        pieces = self.index.tokens
        if self._terms == "ids":
            return [str(column) for column in range(self.num_columns)]
        literal = [_LITERAL_PREFIX + piece for piece in pieces] if self.field == "both" else []
        return [*pieces, *literal]

    @functools.cached_property
    def repeated_ids(self) -> list[str]:
        """The ids that several of the documents have, in the order of the store."""
        store = self.index.store
        if not self.index.num_repeated:
            return []
        count = collections.Counter(itertools.compress(store.doc_ids(), ~store.column("dead_letter")))
        return [name for name, times in count.items() if times > 1]

    def need_distinct_ids(self, consequence: str) -> None:
        """Raises ValueError where documents share an id, for a format that tells documents apart by it.

        Args:
          consequence: what the reader would do.
        """
        if self.repeated_ids:
            raise ValueError(
                f"{len(self.repeated_ids)} ids stand for several documents each, the first is "
                f"{self.repeated_ids[0]!r}: {consequence} Nothing was written. Give every document an id of its own "
                "and run align_corpus and build_index again, or take a format in which documents are numbered, such as "
                "qdrant or ciff."
            )

    def lists(self) -> Iterator[tuple[int, Gathered]]:
        """(column, its postings) of every column that has any, in order."""
        for column in range(self.num_columns):
            found = self.index.postings.gather(np.array([column + self.first]))
            if len(found.rows):
                yield column, found

    @functools.cached_property
    def largest(self) -> float:
        """The largest weight of all."""
        return max((float(found.impacts.max()) for _, found in self.lists()), default=1.0)

    def integers(self, weights: np.ndarray) -> np.ndarray:
        """Integer impacts 1 to 255, int64: the largest weight of the export becomes 255."""
        return np.clip(np.rint(weights * (INTEGER_LEVELS / self.largest)), 1, INTEGER_LEVELS).astype(np.int64)

    def vectors(self) -> Iterator[Vector]:
        """Every document with an embedding, in the order of the store; a block of rows in memory at a time."""
        alive = ~self.index.store.column("dead_letter")
        for row0 in range(0, self.num_rows, _BLOCK_ROWS):
            rows, columns, weights = self._block(row0, min(row0 + _BLOCK_ROWS, self.num_rows))
            order = np.lexsort((columns, rows))
            rows, columns, weights = rows[order], columns[order], weights[order]
            ends = np.searchsorted(rows, np.arange(row0, min(row0 + _BLOCK_ROWS, self.num_rows) + 1))
            for place, row in enumerate(range(row0, min(row0 + _BLOCK_ROWS, self.num_rows))):
                if alive[row]:
                    part = slice(int(ends[place]), int(ends[place + 1]))
                    yield Vector(self.index.doc_id(row), row, columns[part], weights[part])

    def _block(self, row0: int, row1: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, columns, weights = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
        indptr = self.index.postings.indptr[self.first : self.first + self.num_columns + 1]
        start = 0
        while start < self.num_columns:
            end = int(np.searchsorted(indptr, indptr[start] + _READ_POSTINGS, side="right")) - 1
            end = min(max(end, start + 1), self.num_columns)
            found = self.index.postings.gather(np.arange(start, end) + self.first)
            inside = (found.rows >= row0) & (found.rows < row1)
            rows.append(found.rows[inside].astype(np.int64))
            columns.append(found.list_of[inside] + start)
            weights.append(found.impacts[inside])
            start = end
        return np.concatenate(rows), np.concatenate(columns), np.concatenate(weights)
