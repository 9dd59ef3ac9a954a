"""Searches a store that has an index, and says of every hit why it was found: the key tokens that both texts share.

  python -m keytokens.pipelines.search_corpus --store=out.zarr --query='heat transfer in a boundary layer'

prints ten hits with their matched tokens and each token's share of the score ('"token"' stands literally in both
texts). --mode chooses key tokens (sparse), the texts' own tokens (bm25), both in one pass (fused), or the stored
embeddings (dense). Without --query it asks for queries at a prompt; --queries_file answers a file of them (BEIR's
queries.jsonl, or text, one a line). Seconds to load the model and compile, then a few milliseconds a query;
--queries=table and --queries=tokens need no model.
"""

import dataclasses
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from absl import flags

from keytokens import models
from keytokens.pipelines import cli, store_model
from keytokens.pipelines.report import terminal
from keytokens.pipelines.retrieval import options as retrieval_options
from keytokens.pipelines.retrieval import query_files, trec
from keytokens.pipelines.retrieval.index import Hit, Index
from keytokens.pipelines.retrieval.postings import MEMORIES
from keytokens.pipelines.store import reader

cli.declare_flags("store", "model_path", "output", "queries_file", "query_k", "compilation_cache")

_DEFAULT = retrieval_options.QueryOptions()
QUERY = flags.DEFINE_multi_string("query", None, "What to search for; may be given several times.")
MODE = flags.DEFINE_enum("mode", "sparse", retrieval_options.MODES, "What ranks the documents.")
QUERIES = flags.DEFINE_enum(
    "queries",
    _DEFAULT.queries,
    retrieval_options.QUERIES,
    "How a query becomes key tokens: by the model, by a stored table of token vectors, or as its own tokens.",
)
NUM_HITS = flags.DEFINE_integer("num_hits", 10, "Documents a query.", lower_bound=1)
NUM_MATCHED = flags.DEFINE_integer("num_matched", 8, "Matched tokens shown a hit.", lower_bound=0)
MEMORY = flags.DEFINE_enum("memory", "load", MEMORIES, "Load the index, or read the lists that each query touches.")
RUN_OUTPUT = flags.DEFINE_string("run_output", None, "Also write the hits as a TREC run.")


def options_from_flags() -> retrieval_options.QueryOptions:
    """The flags as a frozen value."""
    return retrieval_options.QueryOptions(mode=MODE.value, queries=QUERIES.value, m=cli.QUERY_K.value or _DEFAULT.m)


def search(
    index: Index, texts: dict[str, str], options: retrieval_options.QueryOptions, *, num_hits: int, num_matched: int
) -> dict[str, Any]:
    """Hits of every query, and how long encoding and searching took."""
    start = time.perf_counter()
    vectors = index.encode(list(texts.values()), options)
    encoding = time.perf_counter() - start
    hits, seconds = {}, []
    for name, vector in zip(texts, vectors, strict=True):
        start = time.perf_counter()
        ranking = index.rank(vector, num_hits, options)
        seconds.append(time.perf_counter() - start)
        hits[name] = index.explain(vector, ranking, options, explained=num_matched)
    median, high, highest = (1000 * float(value) for value in np.percentile(seconds, (50, 95, 99)))
    return {
        "options": dataclasses.asdict(options),
        "hits": hits,
        "timing": {
            "encoding_msec_per_query": 1000 * encoding / len(texts),
            "search_queries_per_sec": len(seconds) / sum(seconds),
            "search_msec": {"median": median, "p95": high, "p99": highest},
        },
    }


def render(name: str, text: str, hits: Sequence[Hit]) -> str:
    """One query's hits as lines."""
    lines = [f"{name}: {text}"]
    for rank, hit in enumerate(hits, start=1):
        lines.append(f"{rank:>3}. {hit.doc_id}  {hit.score:.4g}")
        if hit.why:
            tokens = (
                (f'"{models.render_token(match.token)}"' if match.literal else models.render_token(match.token).strip())
                + f" {match.share:.0%}"
                for match in hit.why
            )
            more = hit.num_matched - len(hit.why)
            lines.append("     " + ", ".join(tokens) + (f", {more} more" if more else ""))
    if not hits:
        lines.append("     nothing: no document shares a token with this query")
    return terminal.printable("\n".join(lines))


def _typed() -> Iterator[tuple[str, str]]:
    """Queries from the terminal, or lines from a pipe, until there are no more."""
    number = 0
    while True:
        if sys.stdin.isatty():
            print("query> ", end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            number += 1
            yield str(number), line.rstrip("\n")


def main(argv: Sequence[str]) -> None:
    """Answers what was asked, or asks."""
    del argv
    url, options = cli.given(cli.STORE), options_from_flags()
    model = store_model.config_of(reader.StoreReader(url), name=cli.MODEL_PATH.value)
    index = Index.open(url, memory=MEMORY.value, model=model)
    texts = {str(number): text for number, text in enumerate(QUERY.value or [], start=1)}
    if cli.QUERIES_FILE.value:
        if texts:
            raise ValueError("--query and --queries_file are two sources of queries; give one.")
        texts = query_files.read_queries(cli.QUERIES_FILE.value)
    if not texts:
        for name, text in _typed():
            found = search(index, {name: text}, options, num_hits=NUM_HITS.value, num_matched=NUM_MATCHED.value)
            print(render(name, text, found["hits"][name]), flush=True)
        return
    found = search(index, texts, options, num_hits=NUM_HITS.value, num_matched=NUM_MATCHED.value)
    for name, text in texts.items():
        print(render(name, text, found["hits"][name]))
    timing = found["timing"]
    print(
        f"\n{len(texts)} queries: encoding {timing['encoding_msec_per_query']:.1f} ms each, search "
        f"{timing['search_msec']['median']:.2f} ms (p95 {timing['search_msec']['p95']:.2f}, p99 "
        f"{timing['search_msec']['p99']:.2f}), {timing['search_queries_per_sec']:,.0f} queries/s"
    )
    hits = {name: [dataclasses.asdict(hit) for hit in each] for name, each in found["hits"].items()}
    cli.write_json_output({**found, "hits": hits})
    if RUN_OUTPUT.value:
        run = {name: [(hit.doc_id, hit.score) for hit in each] for name, each in found["hits"].items()}
        trec.write_run(pathlib.Path(RUN_OUTPUT.value), run, tag=f"keytokens-{options.mode}")


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["store"])


if __name__ == "__main__":
    run()
