"""Formats that are arrays: scipy's npz, bm25s, and the sparse tensors of sentence-transformers."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import scipy
from safetensors.numpy import save_file

from keytokens.pipelines.retrieval.exports.source import Source


def to_csr(source: Source) -> tuple[scipy.sparse.csr_matrix, list[str]]:
    """The documents with an embedding as float32 [n, C], and their ids."""
    ids, parts, columns = [], [np.zeros(0, np.float32)], [np.zeros(0, np.int64)]
    for vector in source.vectors():
        ids.append(vector.doc_id)
        parts.append(vector.weights)
        columns.append(vector.columns)
    indptr = np.cumsum([0, *(len(part) for part in parts[1:])])
    data, indices = np.concatenate(parts), np.concatenate(columns)
    return scipy.sparse.csr_matrix((data, indices, indptr), shape=(len(ids), source.num_columns)), ids


def write_scipy(source: Source, path: pathlib.Path) -> dict[str, Any]:
    """A directory: `matrix.npz` for `scipy.sparse.load_npz`; `doc_ids.json` and `terms.json` name rows and columns."""
    path.mkdir(parents=True, exist_ok=True)
    matrix, ids = to_csr(source)
    scipy.sparse.save_npz(path / "matrix.npz", matrix)
    _write_names(path, ids, source.terms)
    return {"documents": len(ids), "postings": int(matrix.nnz)}


def write_bm25s(source: Source, path: pathlib.Path) -> dict[str, Any]:
    """A directory for `bm25s.BM25.load(path, load_corpus=True)`: the impacts as its scores, by term.

    bm25s knows no query weights: it adds up the lists of the query's tokens, each as often as it is given.
    """
    path.mkdir(parents=True, exist_ok=True)
    matrix, ids = to_csr(source)
    by_term = matrix.tocsc()
    by_term.sort_indices()
    for name, value in (
        ("data", by_term.data),
        ("indices", by_term.indices.astype(np.int32)),
        ("indptr", by_term.indptr.astype(np.int64)),
    ):
        np.save(path / f"{name}.csc.index.npy", value)
    vocabulary = {term: column for column, term in enumerate(source.terms)}
    parameters = {
        "k1": source.index.options.k1,
        "b": source.index.options.b,
        "delta": 0.5,
        "method": "lucene",
        "idf_method": "lucene",
        "dtype": "float32",
        "int_dtype": "int32",
        "num_docs": len(ids),
        "version": "0.3.0",
        "backend": "numpy",
    }
    (path / "vocab.index.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    (path / "params.index.json").write_text(json.dumps(parameters, indent=1) + "\n", "utf-8")
    corpus = "".join(json.dumps({"id": number, "text": doc_id}) + "\n" for number, doc_id in enumerate(ids))
    (path / "corpus.jsonl").write_text(corpus, "utf-8")
    return {"documents": len(ids), "postings": int(matrix.nnz)}


def write_sentence_transformers(source: Source, path: pathlib.Path) -> dict[str, Any]:
    """A directory with `embeddings.safetensors`: what SparseEncoder.encode_document returns, a COO tensor.

    `torch.sparse_coo_tensor(t["indices"], t["values"], tuple(t["shape"]))` makes the tensor that `similarity` and the
    semantic_search helpers of sentence-transformers take.
    """
    path.mkdir(parents=True, exist_ok=True)
    matrix, ids = to_csr(source)
    coo = matrix.tocoo()
    tensors = {
        "indices": np.stack([coo.row, coo.col]).astype(np.int64),
        "values": coo.data,
        "shape": np.array(matrix.shape, np.int64),
    }
    save_file(tensors, path / "embeddings.safetensors")
    _write_names(path, ids, source.terms)
    return {"documents": len(ids), "postings": int(matrix.nnz)}


def _write_names(path: pathlib.Path, ids: list[str], terms: list[str]) -> None:
    for name, values in (("doc_ids", ids), ("terms", terms)):
        (path / f"{name}.json").write_text(json.dumps(values, ensure_ascii=False) + "\n", "utf-8")
