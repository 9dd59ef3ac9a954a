"""Writes the postings of an index in the format of another engine, ready to be loaded there.

  python -m keytokens.pipelines.export_postings --store=out.zarr --format=ciff --output=out.ciff

--format is one of jsonvector (Anserini, Pyserini), ciff (PISA, JASS, OldDog, Terrier), seismic, bm25s, elasticsearch,
opensearch, qdrant, scipy, sentence-transformers. Terms are vocabulary pieces as the tokenizer spells them, or token
ids; --queries_file also encodes queries over the same terms, into --queries_output, one {"id", "vector"} a line. Half a
minute for 11,000 documents. Formats that take integers get impacts from 1 to 255. Documents that share an id stay apart
where the format numbers documents; jsonvector, elasticsearch and opensearch refuse them.
"""

import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from keytokens.pipelines import cli, store_model
from keytokens.pipelines.retrieval import checks, query_files
from keytokens.pipelines.retrieval.exports import formats, json_lines
from keytokens.pipelines.retrieval.exports import source as export_source
from keytokens.pipelines.retrieval.index import Index
from keytokens.pipelines.retrieval.options import QueryOptions
from keytokens.pipelines.store import reader

cli.declare_flags("store", "model_path", "output", "queries_file", "query_k", "compilation_cache")

FORMAT = flags.DEFINE_enum("format", None, list(formats.FORMATS), "Whose format.")
FIELD = flags.DEFINE_enum(
    "field", "key", export_source.FIELDS, "Key tokens, the texts' own tokens with BM25 impacts, or both in one index."
)
TERMS = flags.DEFINE_enum(
    "terms", None, export_source.TERMS, "Pieces of the vocabulary or token ids. Default: what the format can hold."
)
QUERIES_OUTPUT = flags.DEFINE_string("queries_output", None, "Where encoded queries go; JSON lines.")


def query_options(source: export_source.Source, *, m: int) -> QueryOptions:
    """How queries are encoded for what is exported: a summed index is searched in one mode only.

    Raises:
      ValueError: the index cannot be searched so.
    """
    mode = {"key": "sparse", "literal": "bm25", "both": "fused"}[source.field]
    options = QueryOptions(mode="fused" if source.index.options.literal == "summed" else mode, m=m)
    checks.check_search(source.index.store, source.index.options, options)
    return options


def encode_queries(source: export_source.Source, texts: dict[str, str], options: QueryOptions) -> list[dict]:
    """Each query as {"id", "vector": {term: weight}} over the exported terms, weights as they are searched with."""
    found = []
    for name, vector in zip(texts, source.index.encode(list(texts.values()), options), strict=True):
        inside = {
            source.terms[column - source.first]: weight
            for columns, weights in source.index.fields(vector, options)
            for column, weight in zip(columns.tolist(), weights.tolist(), strict=True)
        }
        found.append({"id": name, "vector": inside})
    return found


def main(argv: Sequence[str]) -> None:
    """Exports, and says what reads it."""
    del argv
    if (cli.QUERIES_FILE.value is None) != (QUERIES_OUTPUT.value is None):
        raise ValueError(
            "--queries_file and --queries_output belong together: queries that are read must go somewhere."
        )
    cli.check_output_files(QUERIES_OUTPUT)
    url, chosen = cli.given(cli.STORE), formats.FORMATS[cli.given(FORMAT)]
    terms = chosen.terms_of(TERMS.value)
    texts = query_files.read_queries(cli.QUERIES_FILE.value) if cli.QUERIES_FILE.value else {}
    model = store_model.config_of(reader.StoreReader(url), name=cli.MODEL_PATH.value) if cli.MODEL_PATH.value else None
    source = export_source.Source(Index.open(url, model=model), field=FIELD.value, terms=terms)
    queries = []  # encoded first: what cannot be searched for must not leave half an export
    if texts:
        queries = encode_queries(source, texts, query_options(source, m=cli.QUERY_K.value or QueryOptions.m))
    path = pathlib.Path(cli.given(cli.OUTPUT))
    try:
        counts = chosen.write(source, path)
    except OSError as error:
        raise ValueError(f"--output={path} cannot be written ({error}).") from error
    shown = ", ".join(f"{name} {value:,}" if isinstance(value, int) else str(value) for name, value in counts.items())
    print(f"{path}: {shown}; for {chosen.readers}")
    if source.repeated_ids:
        print(
            f"warning: {len(source.repeated_ids):,} ids stand for several documents each, the first is "
            f"{source.repeated_ids[0]!r}; of the hits of one id, count the first.",
            file=sys.stderr,
        )
    if QUERIES_OUTPUT.value:
        print(f"{QUERIES_OUTPUT.value}: {json_lines.write(pathlib.Path(QUERIES_OUTPUT.value), queries):,} queries")


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["store", "format", "output"])


if __name__ == "__main__":
    run()
