r"""Decodes a corpus into key tokens: every text's embedding times the LM head, the k best tokens kept, in a zarr store.

  python -m keytokens.pipelines.align_corpus --model=all-minilm-l6-v2 --corpus='docs/*.jsonl' --output=out.zarr

reads JSON lines (`text`, `title`, `_id` or `id`; BEIR's corpus.jsonl) or plain text (a document a line), also gzipped,
and writes postings, document columns, moments for compare_spectra and run/report.html. With --backbone the moments of
the backbone are taken in the same pass. A run that was stopped resumes when launched again with the same flags, also
with --overwrite, which replaces a finished store and those of other runs; rows that cannot be embedded are listed in
run/dead_letters/ and keep their number. Where no row could be embedded, the exit status says so. Beam's options follow
`--`:

  python -m keytokens.pipelines.align_corpus --model=all-minilm-l6-v2 --corpus='gs://bucket/docs/*.jsonl.gz' \
      --output=gs://bucket/out.zarr -- --runner=DataflowRunner --project=my-project --region=us-central1 \
      --temp_location=gs://bucket/tmp --setup_file=./setup.py

On two CPU cores all-minilm-l6-v2 does about 60 paragraphs of 70 tokens a second; expect Hit@10 (a text contains one of
its own ten best key tokens) near 0.8.
"""

import sys
from collections.abc import Mapping, Sequence

from absl import flags

from keytokens.pipelines import align_run, cli, compilation, corpus, own_errors, progress, run_errors
from keytokens.pipelines.report import data, gather, terminal
from keytokens.pipelines.store import reader

cli.declare_flags(*cli.MODEL_FLAGS, "corpus", "backbone", "k", "output")

CORPUS_FORMAT = flags.DEFINE_enum(
    "corpus_format", "auto", corpus.FORMATS, "How lines are read; auto goes by the files' endings."
)
SAVE_EMBEDDINGS = flags.DEFINE_bool(
    "save_embeddings", False, "Also write the dense embeddings, float32 [N, D], also those of a backbone."
)
UNIT_ROWS = flags.DEFINE_integer(
    "unit_rows",
    0,
    "Rows of a work unit, the granule of resuming; above 4096 a multiple of it. Default 0: 4096, or more at a large D.",
    lower_bound=0,
)
BATCH_TOKENS = flags.DEFINE_integer(
    "batch_tokens",
    0,
    "Tokens computed together, padding included. Default 0: 1024 on a CPU, 16384 on an accelerator.",
    lower_bound=0,
)
RESUME = flags.DEFINE_bool(
    "resume",
    True,
    "Go on with a store of the same run at --output; --noresume refuses whatever is there, or with --overwrite "
    "replaces it.",
)
OVERWRITE = flags.DEFINE_bool(
    "overwrite",
    False,
    "Replace a store at --output that is finished or another run's. One of this run that is not finished is resumed, "
    "so that launching again loses nothing; with --noresume it is replaced, too.",
)
NUM_EXAMPLES = flags.DEFINE_integer("num_examples", 10, "Texts shown with their key tokens at the end.", lower_bound=0)
REPORT_TEXTS = flags.DEFINE_integer("report_texts", 200, "Texts in the report's searchable table.", lower_bound=0)
DEFAULT_K = 256


def options_from_flags() -> align_run.AlignOptions:
    """The flags as a frozen value; nothing behind `main` reads a flag."""
    model = cli.model_from_flags()
    return align_run.AlignOptions(
        model=model,
        backbone=cli.backbone_from_flags(model),
        corpus=tuple(cli.given(cli.CORPUS)),
        corpus_format=CORPUS_FORMAT.value,
        output=cli.given(cli.OUTPUT),
        k=cli.K.value or DEFAULT_K,
        save_embeddings=SAVE_EMBEDDINGS.value,
        unit_rows=UNIT_ROWS.value,
        batch_tokens=BATCH_TOKENS.value,
        overwrite=OVERWRITE.value,
        resume=RESUME.value,
    )


def spread(examples: Sequence[data.Example], wanted: int) -> list[data.Example]:
    """At most `wanted` of the texts, each once, spread evenly."""
    wanted = min(wanted, len(examples))
    step = (len(examples) - 1) / max(1, wanted - 1)
    return [examples[round(number * step)] for number in range(wanted)]


class NothingEmbeddedError(run_errors.RunError):
    """The run has ended, and its store holds dead letters only."""


def check_dead_letters(counts: Mapping[str, int], kinds: Mapping[str, int]) -> str | None:
    """A warning if most rows are dead letters, which means a corpus that was not understood more often than a bad one.

    Args:
      counts: of the store's manifest.
      kinds: how many dead letters there are of each kind, flagged duplicates among them.

    Raises:
      NothingEmbeddedError: all of them are.
    """
    rows, dead = counts["rows"], counts["dead_letters"]
    if 2 * dead <= rows:
        return None
    kind = max(kinds.keys() - {"duplicate_id"}, key=lambda name: (kinds[name], name))
    text = (
        f"{dead:,} of {rows:,} rows are dead letters and have no key tokens, most often of kind {kind} "
        f"({kinds[kind]:,}); run/dead_letters has the reason of each. Look at the files, and at --corpus_format: auto "
        "reads .jsonl, .json and .ndjson as JSON lines, everything else as a text a line."
    )
    if dead == rows:
        raise NothingEmbeddedError(
            f"no text was embedded: {text} With other files, give another --output or --overwrite."
        )
    return text


def main(argv: Sequence[str]) -> None:
    """Plans, runs the pipeline, and shows what was written."""
    # Here and not above: Beam takes 1.3 s, JAX as long, which --help need not spend.
    from keytokens.pipelines import arithmetic, engines, transforms

    beam_options = cli.beam_options(argv)
    with own_errors.resumable():
        engines.use_options(beam_options)
        pipeline = engines.pipeline(beam_options)
        options = options_from_flags()
        if engines.computes_here(beam_options):
            arithmetic.ops_for(options.model.dtype)
        run, planned = align_run.prepare(options)
        with progress.Progress(run), pipeline:
            transforms.define_pipeline(pipeline, run, planned.units)
        gather.keep_texts(run, planned, num_texts=max(REPORT_TEXTS.value, NUM_EXAMPLES.value))
        store = reader.StoreReader(run.output)
        gathered = gather.gather(store)
        report = gather.write_report(store, gathered)
    print(terminal.render_examples(spread(gathered.examples, NUM_EXAMPLES.value)))
    print(terminal.render_summary(run.output, gathered.manifest["counts"], report))
    if (compiled := transforms.compiled(pipeline.result)) is not None:
        print(compilation.render(compiled))
    if (warning := check_dead_letters(gathered.manifest["counts"], gathered.dead_letter_counts)) is not None:
        print(f"warning: {warning}", file=sys.stderr)


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["model", "corpus", "output"])


if __name__ == "__main__":
    run()
