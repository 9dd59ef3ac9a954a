"""Anserini and Pyserini: JsonVectorCollection, a directory of {"id", "contents", "vector": {term: positive integer}}.

Index it with `python -m pyserini.index.lucene --collection JsonVectorCollection --impact --pretokenized --generator
DefaultLuceneDocumentGenerator --input DIR --index INDEX`. Anserini repeats a term as often as its weight says, and its
analyser splits terms at white space.
"""

import pathlib
from typing import Any

from keytokens.pipelines.retrieval.exports import json_lines
from keytokens.pipelines.retrieval.exports.source import Source

# A document without any term makes Anserini fail; this one matches no query of ours.
_NO_TERMS = {"[EMPTY]": 1}


def write(source: Source, path: pathlib.Path) -> dict[str, Any]:
    """Writes `path`/docs.jsonl.

    Raises:
      ValueError: a term holds white space, or documents share an id.
    """
    source.need_distinct_ids("Anserini's runs would name one document several times, which no evaluation takes.")
    terms = source.terms
    spaced = next((term for term in terms if len(term.split()) != 1 or term != term.strip()), None)
    if spaced is not None:
        raise ValueError(
            f"the vocabulary holds {spaced!r}: Anserini splits terms at white space, so it would be lost. Pass "
            "--terms=ids."
        )
    path.mkdir(parents=True, exist_ok=True)

    def records():
        for vector in source.vectors():
            impacts = source.integers(vector.weights).tolist()
            named = {terms[column]: impact for column, impact in zip(vector.columns.tolist(), impacts, strict=True)}
            yield {"id": vector.doc_id, "contents": "", "vector": named or _NO_TERMS}

    return {"documents": json_lines.write(path / "docs.jsonl", records())}
