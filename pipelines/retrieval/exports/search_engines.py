"""Elasticsearch and OpenSearch: newline-delimited bulk requests, and beside them the index's mapping and a query.

POST the mapping to create the index, then the requests to /_bulk. Field names may not hold dots and weights must be
positive; both engines keep 9 significant bits of a weight. Elasticsearch prunes query tokens of `sparse_vector` fields
by default in new indices, which is right for a few heavy tokens and wrong for ours: the query switches it off.
"""

import json
import pathlib
from typing import Any

from keytokens.pipelines.retrieval.exports import json_lines
from keytokens.pipelines.retrieval.exports.source import Source

FIELD = "key_tokens"
INDEX = "keytokens"


def write(source: Source, path: pathlib.Path, *, field_type: str) -> dict[str, Any]:
    """Writes `path`/bulk.ndjson, mapping.json and query.json.

    Args:
      source: the documents.
      path: a directory.
      field_type: "sparse_vector" (Elasticsearch 8.11 and later) or "rank_features" (both engines).

    Raises:
      ValueError: a term is empty or holds a dot, which makes another field of it, or documents share an id.
    """
    source.need_distinct_ids("the engine replaces a document by the next one of its id, so all but the last were lost.")
    terms = source.terms
    bad = next((term for term in terms if not term.strip() or "." in term), None)
    if bad is not None:
        raise ValueError(
            f"the vocabulary holds {bad!r}: names of {field_type} entries may not be blank or hold dots. Pass "
            "--terms=ids."
        )
    path.mkdir(parents=True, exist_ok=True)

    def records():
        for vector in source.vectors():
            pairs = zip(vector.columns.tolist(), vector.weights.tolist(), strict=True)
            yield {"index": {"_index": INDEX, "_id": vector.doc_id}}
            yield {"id": vector.doc_id, FIELD: {terms[column]: weight for column, weight in pairs}}

    count = json_lines.write(path / "bulk.ndjson", records())
    properties = {"id": {"type": "keyword"}, FIELD: {"type": field_type}}
    for name, value in (("mapping", {"mappings": {"properties": properties}}), ("query", _query(field_type, terms))):
        (path / f"{name}.json").write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return {"documents": count // 2}


def _query(field_type: str, terms: list[str]) -> dict[str, Any]:
    """A query of two terms, of which a real one has hundreds."""
    weights = dict.fromkeys(terms[:2], 1.0)
    if field_type == "sparse_vector":
        return {"query": {"sparse_vector": {"field": FIELD, "query_vector": weights, "prune": False}}}
    should = [
        {"rank_feature": {"field": f"{FIELD}.{term}", "linear": {}, "boost": weight}}
        for term, weight in weights.items()
    ]
    return {"query": {"bool": {"should": should}}}
