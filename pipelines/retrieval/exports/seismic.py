"""Seismic (pyseismic-lsr): JSON lines of {"id", "content", "vector": {term: float}}.

Read it with `SeismicIndex.build(path)`, or with `SeismicIndexLV.build(path)` where more than 65,536 terms are used,
which the first cannot number; the counts that are returned say which.
"""

import pathlib
from typing import Any

from keytokens.pipelines.retrieval.exports import json_lines
from keytokens.pipelines.retrieval.exports.source import Source

SMALL_VOCABULARY = 65_536


def write(source: Source, path: pathlib.Path) -> dict[str, Any]:
    """Writes the file."""
    terms = source.terms
    used = set()

    def records():
        for vector in source.vectors():
            used.update(vector.columns.tolist())
            pairs = zip(vector.columns.tolist(), vector.weights.tolist(), strict=True)
            yield {"id": vector.doc_id, "content": "", "vector": {terms[column]: weight for column, weight in pairs}}

    count = json_lines.write(path, records())
    reader = "SeismicIndex" if len(used) <= SMALL_VOCABULARY else "SeismicIndexLV"
    return {"documents": count, "terms": len(used), "reader": reader}
