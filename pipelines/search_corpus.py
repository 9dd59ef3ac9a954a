"""Searches a store that has an index, and says of every hit why it was found: the key tokens that both texts share.

  python -m keytokens.pipelines.search_corpus --store=out.zarr --query='heat transfer in a boundary layer'

prints ten hits with their matched tokens and each token's share of the score ('"token"' stands literally in both
texts). --mode chooses key tokens (sparse), the texts' own tokens (bm25), both in one pass (fused), or the stored
embeddings (dense). Without --query it asks for queries at a prompt, until end of input; --queries_file answers a file
of them (BEIR's queries.jsonl, or text, one a line; also .gz). --output and --run_output keep what was found, at a
prompt once it ends. Seconds to load the model and compile, then a few milliseconds a query; --queries=table
and --queries=tokens need no model.
"""

import dataclasses
import itertools
import pathlib
import sys
from collections.abc import Iterator, Sequence

from absl import flags

from keytokens import models
from keytokens.pipelines import cli, store_model
from keytokens.pipelines.report import terminal
from keytokens.pipelines.retrieval import options as retrieval_options
from keytokens.pipelines.retrieval import query_files, trec
from keytokens.pipelines.retrieval.answers import Answers
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
RUN_OUTPUT = flags.DEFINE_string(
    "run_output", None, "Also write the hits as a TREC run, in which a repeated document id stands once, at its best."
)


def options_from_flags() -> retrieval_options.QueryOptions:
    """The flags as a frozen value."""
    return retrieval_options.QueryOptions(mode=MODE.value, queries=QUERIES.value, m=cli.QUERY_K.value or _DEFAULT.m)


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


def _typed() -> Iterator[dict[str, str]]:
    """Queries from the terminal, or lines from a pipe, one by one until there are no more."""
    number = 0
    while True:
        if sys.stdin.isatty():
            print("query> ", end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            number += 1
            yield {str(number): line.rstrip("\n")}


def _asked() -> dict[str, str]:
    """Id -> text of the queries that flags give; none where they are to be typed."""
    texts = {str(number): text for number, text in enumerate(QUERY.value or [], start=1)}
    if not cli.QUERIES_FILE.value:
        return texts
    if texts:
        raise ValueError("--query and --queries_file are two sources of queries; give one.")
    return query_files.read_queries(cli.QUERIES_FILE.value)


def _check_run(texts: dict[str, str], store: reader.StoreReader) -> None:
    """Refuses ids that the run could not hold, before anything is embedded."""
    documents = itertools.compress(store.doc_ids(), ~store.column("dead_letter"))
    cure = "Leave --run_output out; --output writes JSON, which holds any id."
    trec.check_ids(texts, whose="--run_output: query", cure=cure)
    trec.check_ids(documents, whose="--run_output: document", cure=cure)


def _write(answers: Answers, options: retrieval_options.QueryOptions) -> None:
    """Keeps what was found, where flags say so."""
    hits = {name: [dataclasses.asdict(hit) for hit in each] for name, each in answers.hits.items()}
    cli.write_json_output({"options": dataclasses.asdict(options), "hits": hits, "timing": answers.timing()})
    if RUN_OUTPUT.value:
        trec.write_run(pathlib.Path(RUN_OUTPUT.value), answers.run, tag=f"keytokens-{options.mode}")


def main(argv: Sequence[str]) -> None:
    """Answers what was asked, or asks."""
    del argv
    cli.check_output_files(cli.OUTPUT, RUN_OUTPUT)
    url, options, texts = cli.given(cli.STORE), options_from_flags(), _asked()
    store = reader.StoreReader(url)
    if RUN_OUTPUT.value:
        _check_run(texts, store)
    index = Index.open(url, memory=MEMORY.value, model=store_model.config_of(store, name=cli.MODEL_PATH.value))
    answers = Answers()
    shown = {"num_hits": NUM_HITS.value, "num_matched": NUM_MATCHED.value}
    try:
        for queries in [texts] if texts else _typed():
            answers.ask(index, queries, options, **shown)
            for name, text in queries.items():
                print(render(name, text, answers.hits[name]), flush=True)
    finally:  # also of a prompt that is left by an interrupt
        if answers.hits:
            _write(answers, options)
    if not answers.hits and (cli.OUTPUT.value or RUN_OUTPUT.value):
        raise ValueError(
            "no query was given, so there is nothing to keep: --output and --run_output were not written. Type "
            "queries, or give --query or --queries_file."
        )
    if texts:
        timing = answers.timing()
        print(
            f"\n{len(texts)} queries: encoding {timing['encoding_msec_per_query']:.1f} ms each, search "
            f"{timing['search_msec']['median']:.2f} ms (p95 {timing['search_msec']['p95']:.2f}, p99 "
            f"{timing['search_msec']['p99']:.2f}), {timing['search_queries_per_sec']:,.0f} queries/s"
        )


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["store"])


if __name__ == "__main__":
    run()
