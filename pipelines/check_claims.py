r"""Checks the claims of the paper for one embedder: each with our figure, its interval and whether it holds.

  python -m keytokens.pipelines.check_claims --model=all-minilm-l6-v2 --corpus='docs/*.jsonl' \
      --scored_pairs=EN-WS-353-SIM.txt --kinds=similarity --output_dir=claims

embeds the corpus into OUTPUT_DIR/store.zarr (an earlier one is resumed), measures alignment with its control, spectrum
and adjustment against --backbone, instructions over 200 texts, and the overlap of key tokens on --scored_pairs, each of
the kind in --kinds. Prints the table and writes claims.md, claims.json and, into the store, a report of everything.
What needs --backbone or more texts than there are (the error of the spectrum: 513) is said to be not measured. Three
minutes for 3,000 paragraphs by all-minilm-l6-v2 on two CPU cores.
"""

from collections.abc import Sequence

import numpy as np
from absl import flags

from keytokens.pipelines import (
    adjust_component,
    adjusting,
    align_run,
    claims,
    cli,
    encoder,
    explain_pair,
    progress,
    results,
    spectral,
    store_alignment,
    tables,
)
from keytokens.pipelines.analysis import adjustment
from keytokens.pipelines.explain import scored_pairs
from keytokens.pipelines.report import gather, terminal
from keytokens.pipelines.spectral import StoreSpectra
from keytokens.pipelines.store import analyses, reader

# The last two are explain_pair's.
cli.declare_flags(*cli.MODEL_FLAGS, "corpus", "backbone", "output_dir", "scored_pairs", "pair_columns")
KINDS = flags.DEFINE_list(
    "kinds", [], "What the scores of each --scored_pairs are of, in their order: similarity or relatedness."
)
UNIT_ROWS = 512
TEXTS_INSTRUCTED = 200
OVERLAP_K = 100


def write_store(options: align_run.AlignOptions, num_texts: int) -> reader.StoreReader:
    """Runs the main job in this process, and keeps texts for the report."""
    # Here and not above: Beam takes 1.3 s, which --help need not spend.
    from keytokens.pipelines import engines, transforms

    beam_options = cli.beam_options([])
    engines.use_options(beam_options)
    run, planned = align_run.prepare(options)
    with progress.Progress(run), engines.pipeline(beam_options) as pipeline:
        transforms.define_pipeline(pipeline, run, planned.units)
    gather.keep_texts(run, planned, num_texts=num_texts)
    return reader.StoreReader(run.output)


def spectra_and_curve(
    store: reader.StoreReader, options: align_run.AlignOptions
) -> tuple[StoreSpectra, list[adjustment.CurvePoint] | None]:
    """Spectra with contributions, and the sweep of the first component; kept in the store for its report."""
    models = {"embedder": encoder.shared_encoder(options.model)}
    if options.backbone is not None:
        models["backbone"] = encoder.shared_encoder(options.backbone)
    found = spectral.spectra_of(store)
    linear = all("transform" not in one.embedder.params for one in models.values())
    if linear:
        found.contributions.update(spectral.contributions(store, models, found))
    spectral.write(store, found)
    analyses.write(store.files, "spectra", results.plain(found))
    if options.backbone is None:
        return found, None
    directions = adjusting.directions_of(store)
    points = adjustment.sweep_points(directions.variation, leading=[1, min(10, store.dims.hidden_size)])
    curve = adjusting.adjust_store(store, models["backbone"], points)
    return found, curve


def main(argv: Sequence[str]) -> None:
    """Measures everything and writes the table."""
    del argv
    sets = [scored_pairs.read(path, explain_pair.columns_from_flags()) for path in explain_pair.SCORED_PAIRS.value]
    claims.check_kinds(KINDS.value, len(sets))
    model = cli.model_from_flags()
    directory = cli.make_output_dir()
    assert directory is not None, "a required flag"
    options = align_run.AlignOptions(
        model=model,
        backbone=cli.backbone_from_flags(model),
        corpus=tuple(cli.given(cli.CORPUS)),
        output=str(directory / "store.zarr"),
        save_embeddings=True,
        unit_rows=UNIT_ROWS,
        k=min(256, model.vocab_size),
    )
    store = write_store(options, TEXTS_INSTRUCTED)
    measured = store_alignment.measure_store(store)
    kept = {"stores": [store_alignment.to_json(measured)], "sweep": store_alignment.sweep_rows(measured)}
    analyses.write(store.files, "alignment", kept)
    spectra, curve = spectra_and_curve(store, options)
    if curve is not None:
        analyses.write(
            store.files,
            "adjustment",
            {"k": 10, "embedder": adjust_component.reference(measured), "sweep": adjust_component.rows_of(curve)},
        )
    loaded = encoder.shared_encoder(model)
    texts = [example.text for example in gather.gather(store).examples]
    agreements = [scored_pairs.agreement(model, one, k=min(OVERLAP_K, model.vocab_size)) for one in sets]
    table = [
        *claims.alignment_claims(measured),
        claims.spectrum_claim(spectra),
        claims.adjustment_claim(curve),
        claims.instruction_claim(loaded, texts),
        *claims.overlap_claims(agreements, KINDS.value),
    ]
    rows = [[one.claim, one.verdict, one.figure] for one in table]
    print(terminal.printable(tables.aligned(["claim", "verdict", "figure"], rows, left=3)))
    (directory / "claims.md").write_text(claims.markdown(table, model.name), "utf-8")
    backbone = options.backbone.name if options.backbone is not None else None
    context = {"model": model.name, "backbone": backbone, "corpus": list(options.corpus), "texts": int(np.size(texts))}
    results.write(directory / "claims.json", claims.to_json(table, **context))
    print(f"claims.md and claims.json: {directory}\nreport: {gather.write_report(store, gather.gather(store))}")


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["model", "corpus", "output_dir"])


if __name__ == "__main__":
    run()
