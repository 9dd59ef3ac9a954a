"""How good and how dear is each way of searching a store? Measures by ir-measures, cost by what was touched.

Q queries, N documents, D hidden size.
"""

import dataclasses
import math
import time
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from keytokens.pipelines.analysis import significance
from keytokens.pipelines.retrieval import beir, checks, runs, trec
from keytokens.pipelines.retrieval.index import Index
from keytokens.pipelines.retrieval.options import QueryOptions

MEASURES = ("nDCG@10", "R@100", "RR@10", "AP")
DEPTH = 1000
# What every evaluation shows side by side; a system that the index cannot run is left out with its reason.
SYSTEMS: dict[str, QueryOptions] = {
    "dense": QueryOptions(mode="dense"),
    "bm25": QueryOptions(mode="bm25"),
    "sparse": QueryOptions(mode="sparse"),
    "fused": QueryOptions(mode="fused"),
    "sparse, m=256": QueryOptions(mode="sparse", m=256),
    "sparse, table queries": QueryOptions(mode="sparse", queries="table"),
    "fused, table queries": QueryOptions(mode="fused", queries="table"),
    "sparse, token queries": QueryOptions(mode="sparse", queries="tokens"),
    "sparse, paper's queries": QueryOptions(mode="sparse", m=10, literal_weight=1, idf_power=0, unit_weights=True),
}


@dataclasses.dataclass(frozen=True)
class System:
    """One way of searching, measured.

    Attributes:
      measures: measure -> mean over the judged queries.
      per_query: nDCG@10 of each query, in the order of the judgements.
      cost: mean postings touched and multiply-adds a query, bytes of index a document, search alone as queries/s and
        milliseconds (median, 95th, 99th percentile), and encoding as milliseconds a query.
      run: what was retrieved.
    """

    measures: dict[str, float]
    per_query: dict[str, float]
    cost: dict[str, float]
    run: trec.Run


def reason_against(index: Index, options: QueryOptions, *, no_table: str | None) -> str | None:
    """Why the index cannot run a system of these options; None where it can.

    Args:
      index: to search.
      options: of the system.
      no_table: why the index has no table of token vectors, where it has none.
    """
    if options.queries == "table" and no_table is not None:
        return no_table
    try:
        checks.check_search(index.store, index.options, options)
    except ValueError as error:
        return str(error)
    return None


def evaluate(index: Index, collection: beir.Collection, options: QueryOptions, *, depth: int = DEPTH) -> System:
    """Searches with all judged queries and measures.

    Of several rows with one id the best counts. Where queries are documents of the corpus themselves (ArguAna, Quora),
    the document that is the query is left out before the ranking is cut, as BEIR and MTEB do.

    Raises:
      ValueError: the index was not built for these options.
      ImportError: ir-measures is not installed.
    """
    ids, texts = list(collection.queries), list(collection.queries.values())
    start = time.perf_counter()
    vectors = index.encode(texts, options)
    encoding = time.perf_counter() - start
    index.rank(vectors[0], 10, options)  # what is read once is not a query's cost
    rows = depth + index.num_repeated + bool(collection.in_corpus)  # what may fall away is ranked, too
    seconds, touched, run = [], [], {}
    for query, vector in zip(ids, vectors, strict=True):
        start = time.perf_counter()
        ranking = index.rank(vector, rows, options)
        seconds.append(time.perf_counter() - start)
        touched.append(ranking.postings)
        run[query] = runs.distinct(runs.named(index, ranking), depth, without=collection.excluded(query))
    measures, per_query = measure(collection.qrels, run)
    return System(measures, per_query, _cost(index, options, np.array(seconds), np.array(touched), encoding), run)


def measure(qrels: Mapping[str, Mapping[str, int]], run: trec.Run) -> tuple[dict[str, float], dict[str, float]]:
    """(measure -> mean, query -> nDCG@10) by ir-measures, with linear gain."""
    ir = need_ir_measures()
    wanted = {name: ir.parse_measure(name) for name in MEASURES}
    scored = [ir.ScoredDoc(query, document, score) for query, hits in run.items() for document, score in hits]
    judged = [ir.Qrel(query, document, grade) for query, grades in qrels.items() for document, grade in grades.items()]
    found = ir.calc_aggregate(list(wanted.values()), judged, scored)
    each = {value.query_id: value.value for value in ir.iter_calc([wanted["nDCG@10"]], judged, scored)}
    return {name: float(found[measured]) for name, measured in wanted.items()}, each


def compare(systems: Mapping[str, System], baseline: str) -> dict[str, dict[str, Any]]:
    """Every system against `baseline` on nDCG@10: ratio of the means and paired tests.

    What is undefined is nan: a ratio to 0, and the t-test of a single query, whose difference has no variance.
    """
    base = systems[baseline]
    queries = list(base.per_query)
    first = np.array([base.per_query[query] for query in queries])
    found = {}
    for name, system in systems.items():
        scores = np.array([system.per_query.get(query, 0.0) for query in queries])
        test = dataclasses.asdict(significance.paired_test(scores, first))
        found[name] = {"ratio": ratio_of(system.measures["nDCG@10"], base.measures["nDCG@10"]), **test}
    return found


def ratio_of(value: float, baseline: float) -> float:
    """value / baseline; nan where the baseline is 0."""
    return value / baseline if baseline else math.nan


def _cost(
    index: Index, options: QueryOptions, seconds: np.ndarray, touched: np.ndarray, encoding: float
) -> dict[str, float]:
    dims, documents = index.store.dims, max(1, index.num_documents)
    if options.mode == "dense":
        adds, num_bytes = float(dims.num_rows * dims.hidden_size), 4.0 * dims.hidden_size
    else:
        adds, num_bytes = float(touched.mean()), index.postings.field_bytes(options.mode) / documents
    median, high, highest = (float(value) * 1000 for value in np.percentile(seconds, (50, 95, 99)))
    return {
        "postings": float(touched.mean()),
        "multiply_adds": adds,
        "bytes_per_document": num_bytes,
        "queries_per_sec": len(seconds) / float(seconds.sum()),
        "median_msec": median,
        "p95_msec": high,
        "p99_msec": highest,
        "encoding_msec": 1000 * encoding / len(seconds),
    }


def need_ir_measures() -> types.ModuleType:
    """The package that measures; a program asks for it before it works for what is to be measured.

    Raises:
      ImportError: it is not installed.
    """
    try:
        import ir_measures
    except ImportError as error:
        raise ImportError(
            "evaluation takes ir-measures, which is not installed: pip install '.[retrieval]' in the repository."
        ) from error
    return ir_measures
