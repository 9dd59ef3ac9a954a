"""Builds the inverted index of a store: key tokens, and the texts' own tokens with BM25 impacts, by token.

  python -m keytokens.pipelines.build_index --store=out.zarr

writes X_T/ into the store, which align_corpus must have written with --save_embeddings (without them --decoding=plain
takes the store's own postings, at a lower quality). A minute for 11,000 documents on two cores; memory is that of a
block of rows or of a shard of postings, whichever is more. An interrupted build resumes; Beam's options follow --. With
the defaults, expect at least 0.95 of the dense nDCG@10 (Cranfield, CISI and NPL with all-MiniLM-L6-v2); BUILD_NOTES.md
has the table.
"""

from collections.abc import Sequence

from absl import flags

from keytokens.pipelines import cli, store_model
from keytokens.pipelines.retrieval import index_run
from keytokens.pipelines.retrieval import options as retrieval_options
from keytokens.pipelines.store import reader

cli.declare_flags("store", "output", "model_path", "k", "compilation_cache")

_DEFAULT = retrieval_options.IndexOptions()
DECODING = flags.DEFINE_enum(
    "decoding",
    _DEFAULT.decoding,
    retrieval_options.DECODINGS,
    "Which logits select and weigh key tokens: of the head with whitened rows, or the store's own.",
)
CENTRED = flags.DEFINE_bool("centred", False, "Subtract the corpus's mean embedding first.")
WITHOUT_FIRST = flags.DEFINE_bool("without_first", False, "Remove the first principal component first.")
WEIGHTING = flags.DEFINE_enum(
    "weighting", _DEFAULT.weighting, retrieval_options.WEIGHTINGS, "Weight of a key token with logit x."
)
NORMALIZE = flags.DEFINE_enum(
    "normalize",
    _DEFAULT.normalize,
    retrieval_options.NORMALISATIONS,
    "What a document's weights are divided by: the length of the vector they stand for, their own norm, or nothing.",
)
IN_TEXT_ONLY = flags.DEFINE_bool("in_text_only", False, "Keep only key tokens that stand in the text.")
LITERAL = flags.DEFINE_enum(
    "literal",
    _DEFAULT.literal,
    retrieval_options.LITERALS,
    "The texts' own tokens with BM25 impacts: as a field of their own, summed into the key tokens' postings, or not.",
)
LITERAL_SHARE = flags.DEFINE_float(
    "literal_share", _DEFAULT.literal_share, "Of a document's squared norm, in a summed index; between 0 and 1."
)
HUB_SHARE = flags.DEFINE_float(
    "hub_share", _DEFAULT.hub_share, "Leave out key tokens that more than this share of the documents have."
)
MAX_POSTINGS = flags.DEFINE_integer(
    "max_postings", _DEFAULT.max_postings, "Postings a key token keeps, the heaviest; 0 keeps all.", lower_bound=0
)
IMPACTS = flags.DEFINE_enum(
    "impacts", _DEFAULT.impacts, retrieval_options.IMPACTS, "uint8 takes 5 bytes a posting, float32 takes 8."
)
QUERY_TABLE = flags.DEFINE_bool(
    "query_table", False, "Also store a vector per vocabulary entry: queries then need no model (--queries=table)."
)
REPLACE = flags.DEFINE_bool("replace", False, "Replace an index of other options.")
BLOCK_ROWS = flags.DEFINE_integer(
    "block_rows",
    index_run.BLOCK_ROWS,
    "Documents that a worker inverts at a time; what bounds its memory, with --shard_postings.",
    lower_bound=1,
)
SHARD_POSTINGS = flags.DEFINE_integer(
    "shard_postings",
    index_run.SHARD_POSTINGS,
    "Postings of a file of X_T, which a worker sorts at a time.",
    lower_bound=1,
)


def options_from_flags() -> retrieval_options.IndexOptions:
    """The flags as a frozen value."""
    return retrieval_options.IndexOptions(
        k=cli.K.value or _DEFAULT.k,
        decoding=DECODING.value,
        centred=CENTRED.value,
        without_first=WITHOUT_FIRST.value,
        weighting=WEIGHTING.value,
        normalize=NORMALIZE.value,
        in_text_only=IN_TEXT_ONLY.value,
        literal=LITERAL.value,
        literal_share=LITERAL_SHARE.value,
        hub_share=HUB_SHARE.value,
        max_postings=MAX_POSTINGS.value,
        impacts=IMPACTS.value,
    )


def main(argv: Sequence[str]) -> None:
    """Builds, and says what there is."""
    # Here and not above: Beam takes 1.3 s, which --help need not spend.
    from keytokens.pipelines import engines
    from keytokens.pipelines.retrieval import build

    cli.check_output_files()
    beam_options = cli.beam_options(argv)
    engines.use_options(beam_options)
    url = cli.given(cli.STORE)
    found = build.build(
        url,
        options_from_flags(),
        beam_options,
        model=store_model.config_of(reader.StoreReader(url), name=cli.MODEL_PATH.value),
        with_query_table=QUERY_TABLE.value,
        overwrite=REPLACE.value,
        block_rows=BLOCK_ROWS.value,
        shard_postings=SHARD_POSTINGS.value,
    )
    documents = max(1, found["num_documents"])
    print(
        f"{url}: {found['num_documents']:,} documents, {found['postings']:,} postings: "
        f"{found['key_postings'] / documents:.0f} key tokens and "
        f"{(found['postings'] - found['key_postings']) / documents:.0f} literal tokens a document"
    )
    cli.write_json_output(found)


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["store"])


if __name__ == "__main__":
    run()
