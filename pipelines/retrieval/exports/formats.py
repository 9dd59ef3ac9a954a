"""The formats by name: which program reads each, which terms it takes, and who writes it."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

from keytokens.pipelines.retrieval.exports import arrays_files, ciff, jsonvector, qdrant, search_engines, seismic
from keytokens.pipelines.retrieval.exports.source import TERMS, Source


@dataclasses.dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
      write: writes a source to a path and returns counts.
      terms: what its terms are unless asked otherwise.
      readers: programs that read it, for people.
      possible_terms: what its terms can be.
    """

    write: Callable[[Source, pathlib.Path], dict[str, Any]]
    terms: str
    readers: str
    possible_terms: tuple[str, ...] = TERMS

    def terms_of(self, asked: str | None) -> str:
        """The terms that are asked for, or else the format's own.

        Raises:
          ValueError: the format cannot have them.
        """
        if asked is not None and asked not in self.possible_terms:
            raise ValueError(
                f"--terms={asked}: {self.readers} knows terms by {' or '.join(self.possible_terms)} only, so this "
                f"would change nothing. Leave --terms out, or pass --terms={self.possible_terms[0]}."
            )
        return asked or self.terms


FORMATS: dict[str, Format] = {
    "jsonvector": Format(jsonvector.write, "pieces", "Anserini, Pyserini"),
    "ciff": Format(ciff.write, "pieces", "PISA, JASS, OldDog, Terrier"),
    "seismic": Format(seismic.write, "pieces", "Seismic"),
    "bm25s": Format(arrays_files.write_bm25s, "pieces", "bm25s"),
    "elasticsearch": Format(
        functools.partial(search_engines.write, field_type="sparse_vector"), "ids", "Elasticsearch 8.11 and later"
    ),
    "opensearch": Format(
        functools.partial(search_engines.write, field_type="rank_features"), "ids", "OpenSearch, Elasticsearch"
    ),
    "qdrant": Format(qdrant.write, "ids", "Qdrant", possible_terms=("ids",)),
    "scipy": Format(arrays_files.write_scipy, "pieces", "scipy"),
    "sentence-transformers": Format(
        arrays_files.write_sentence_transformers, "pieces", "sentence-transformers 5 and 6"
    ),
}
