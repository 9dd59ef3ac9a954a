"""Qdrant: points as its REST interface takes them, one a line, in a named sparse vector.

{"id": row, "vector": {"key_tokens": {"indices", "values"}}, "payload": {"doc_id"}}. Point ids must be integers or
UUIDs, so the row is the id; the collection is made with sparse_vectors_config={"key_tokens": SparseVectorParams()}.
"""

import pathlib
from typing import Any

from keytokens.pipelines.retrieval.exports import json_lines
from keytokens.pipelines.retrieval.exports.source import Source

VECTOR = "key_tokens"


def write(source: Source, path: pathlib.Path) -> dict[str, Any]:
    """Writes the file."""

    def records():
        for vector in source.vectors():
            sparse = {"indices": vector.columns.tolist(), "values": vector.weights.tolist()}
            yield {"id": vector.row, "vector": {VECTOR: sparse}, "payload": {"doc_id": vector.doc_id}}

    return {"documents": json_lines.write(path, records())}
