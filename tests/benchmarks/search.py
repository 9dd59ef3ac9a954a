"""How fast are the built-in engine, other ways of adding up the same postings, bm25s and Seismic, side by side?

  python tests/benchmarks/search.py --store=results/npl/store.zarr --queries=NPL/queries.jsonl

prints queries/s and latency percentiles of each engine that is installed, on the store's key-token index, ten hits a
query, one query at a time, one thread. Engines take turns query by query, so that they see the same load. `agrees` is
the share of the exact ten best that an engine finds; bm25s knows no query weights, so it finds others.
"""

import argparse
import json
import pathlib
import tempfile
import time
from collections.abc import Callable

import numpy as np
from scipy import sparse

from keytokens import models
from keytokens.pipelines.retrieval import Index, QueryOptions, engine
from keytokens.pipelines.retrieval.exports import formats, source
from keytokens.pipelines.retrieval.queries import QueryVector
from keytokens.pipelines.retrieval.query_files import read_queries

K = 10
Search = Callable[[QueryVector], list[int]]


def engines(index: Index, vectors: list[QueryVector]) -> dict[str, Search]:
    """Every engine that can be had, as a function from a query to ten rows."""
    options = QueryOptions()
    stored = Index.open(index.store.files.url, memory="stored", model=index._model)
    found: dict[str, Search] = {
        "built-in": lambda q: index.rank(q, K, options).rows.tolist(),
        "built-in, lists read from the store": lambda q: stored.rank(q, K, options).rows.tolist(),
    }
    rows = source.Source(index)
    columns = np.arange(rows.num_columns)
    gathered = index.postings.gather(columns)
    shape = (index.store.dims.num_rows, rows.num_columns)
    by_column = sparse.csc_matrix(
        (gathered.impacts, gathered.rows, index.postings.indptr[: len(columns) + 1]), shape=shape
    )
    by_row, alive = by_column.tocsr(), np.ones(shape[0], bool)

    def sliced(q: QueryVector) -> list[int]:
        scores = by_column[:, q.key_columns] @ q.key_weights
        return engine.best(scores, K, allowed=alive).tolist()

    def multiplied(q: QueryVector) -> list[int]:
        dense = np.zeros(shape[1], np.float32)
        dense[q.key_columns] = q.key_weights
        return engine.best(by_row @ dense, K, allowed=alive).tolist()

    def counted(q: QueryVector) -> list[int]:
        lists = index.postings.gather(q.key_columns)
        weighted = lists.impacts * q.key_weights[lists.list_of]
        return engine.best(np.bincount(lists.rows, weighted, minlength=shape[0]), K, allowed=alive).tolist()

    found |= {"numpy bincount": counted, "scipy, columns sliced": sliced, "scipy, whole matrix": multiplied}
    found |= _jax(by_column, shape) | _numba(by_column, shape, alive)
    return found | _bm25s(index) | _seismic(index)


def _jax(by_column: sparse.csc_matrix, shape: tuple[int, int]) -> dict[str, Search]:
    import jax
    import jax.numpy as jnp

    by_row = by_column.tocsr()
    columns, impacts = jnp.asarray(by_row.indices), jnp.asarray(by_row.data)
    rows = jnp.asarray(np.repeat(np.arange(shape[0]), np.diff(by_row.indptr)))

    @jax.jit
    def search(weights):
        scores = jax.ops.segment_sum(impacts * weights[columns], rows, num_segments=shape[0], indices_are_sorted=True)
        return jax.lax.top_k(scores, K)[1]

    def one(q: QueryVector) -> list[int]:
        weights = np.zeros(shape[1], np.float32)
        weights[q.key_columns] = q.key_weights
        return np.asarray(search(weights)).tolist()

    return {"jax, whole matrix": one}


def _numba(by_column: sparse.csc_matrix, shape: tuple[int, int], alive: np.ndarray) -> dict[str, Search]:
    try:
        import numba
    except ImportError:
        return {}

    @numba.njit
    def accumulate(indptr, rows, impacts, columns, weights, num_rows):
        scores = np.zeros(num_rows)
        for i in range(len(columns)):
            for place in range(indptr[columns[i]], indptr[columns[i] + 1]):
                scores[rows[place]] += impacts[place] * weights[i]
        return scores

    def one(q: QueryVector) -> list[int]:
        parts = by_column.indptr, by_column.indices, by_column.data
        return engine.best(accumulate(*parts, q.key_columns, q.key_weights, shape[0]), K, allowed=alive).tolist()

    return {"numba": one}


def _bm25s(index: Index) -> dict[str, Search]:
    try:
        import bm25s
    except ImportError:
        return {}
    with tempfile.TemporaryDirectory() as directory:
        formats.FORMATS["bm25s"].write(source.Source(index), pathlib.Path(directory))
        loaded = bm25s.BM25.load(directory)
    row_of = np.flatnonzero(~index.store.column("dead_letter"))

    def one(q: QueryVector) -> list[int]:
        tokens = [index.tokens[column] for column in q.key_columns.tolist()]
        return row_of[loaded.retrieve([tokens], k=K, show_progress=False, sorted=True).documents[0]].tolist()

    return {"bm25s": one}


def _seismic(index: Index) -> dict[str, Search]:
    try:
        import seismic
    except ImportError:
        return {}
    row_of = {doc_id: row for row, doc_id in enumerate(index.store.doc_ids())}
    text = seismic.get_seismic_string()
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "docs.jsonl"
        formats.FORMATS["seismic"].write(source.Source(index), path)
        built = seismic.SeismicIndex.build(str(path), num_threads=1)

    def searcher(query_cut: int, heap_factor: float) -> Search:
        def one(q: QueryVector) -> list[int]:
            hits = built.search(
                query_id="q",
                query_components=np.array([index.tokens[column] for column in q.key_columns.tolist()], dtype=text),
                query_values=q.key_weights,
                k=K,
                query_cut=query_cut,
                heap_factor=heap_factor,
            )
            return [row_of[document] for _, _, document in hits]

        return one

    return {
        "Seismic, query_cut 20, heap 0.8": searcher(20, 0.8),
        "Seismic, query_cut 200, heap 0.9": searcher(200, 0.9),
    }


def main() -> None:
    """Warms up, then measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", required=True)
    parser.add_argument("--queries", required=True)
    parser.add_argument("--model", default="all-minilm-l6-v2")
    parser.add_argument("--m", type=int, default=QueryOptions().m)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", help="the same as JSON")
    asked = parser.parse_args()
    index = Index.open(asked.store, model=models.read_embedder(asked.model))
    vectors = index.encode(list(read_queries(asked.queries).values()), QueryOptions(m=asked.m))
    found = engines(index, vectors)
    exact = [set(index.rank(q, K, QueryOptions()).rows.tolist()) for q in vectors]
    seconds: dict[str, list[float]] = {name: [] for name in found}
    agrees: dict[str, list[float]] = {name: [] for name in found}
    for turn in range(asked.rounds + 1):
        for q, wanted in zip(vectors, exact, strict=True):
            for name, search in found.items():
                start = time.perf_counter()
                rows = search(q)
                if turn:  # the first round compiles and fills caches
                    seconds[name].append(time.perf_counter() - start)
                    agrees[name].append(len(wanted & set(rows)) / len(wanted))
    result = {}
    print(f"{index.num_documents:,} documents, {len(vectors)} queries of up to {asked.m} tokens, {asked.rounds} rounds")
    print(f"{'engine':<40} {'queries/s':>9} {'p50 ms':>8} {'p95':>8} {'p99':>8} {'agrees':>7}")
    for name, taken in seconds.items():
        p50, p95, p99 = 1000 * np.percentile(taken, (50, 95, 99))
        result[name] = {"queries_per_sec": 1000 / p50, "p50_msec": p50, "p95_msec": p95, "p99_msec": p99}
        result[name]["agrees"] = float(np.mean(agrees[name]))
        print(f"{name:<40} {1000 / p50:>9,.0f} {p50:>8.2f} {p95:>8.2f} {p99:>8.2f} {result[name]['agrees']:>7.3f}")
    if asked.output:
        pathlib.Path(asked.output).write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
