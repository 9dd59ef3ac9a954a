"""Measures how well a store's key tokens retrieve: dense, BM25, sparse and fused search side by side, with their costs.

  python -m keytokens.pipelines.evaluate_retrieval --model=all-minilm-l6-v2 --beir_dir=cranfield --output_dir=results

embeds the collection (corpus.jsonl, queries.jsonl, qrels/test.tsv) into a store below --output_dir, builds its index
and writes results.json and TREC run files; --beir_dir may be given several times, and results.json holds each
collection as soon as it is done. --vary_options varies one option of the default at a time instead, and says what the
default costs and loses. What is there already is used again. A model that transforms embeddings before its LM head (a
masked language model) has no table queries, which are then left out. Where queries are documents, too (ArguAna, Quora),
a query's own document counts as no hit.
Cranfield takes two minutes on two cores, nearly all of it embedding; with all-MiniLM-L6-v2 expect nDCG@10 of 0.51
dense, 0.50 BM25, 0.49 sparse and 0.55 fused.
"""

import pathlib
import time
from collections.abc import Sequence
from typing import Any

from absl import flags

from keytokens import models
from keytokens.pipelines import align_run, cli, encoder, progress, results
from keytokens.pipelines.retrieval import beir, evaluation, query_table, sweep, tables, trec
from keytokens.pipelines.retrieval.index import Index
from keytokens.pipelines.retrieval.options import IndexOptions

cli.declare_flags(*cli.MODEL_FLAGS, "k", "output_dir")

BEIR_DIR = flags.DEFINE_multi_string("beir_dir", None, "A collection in BEIR's layout; may be given several times.")
SPLIT = flags.DEFINE_string("split", "test", "Which judgements: qrels/SPLIT.tsv.")
SWEEP = flags.DEFINE_bool(
    "vary_options", False, "Vary one option at a time and show what each does on every collection."
)


def evaluate_collection(
    config: models.EmbedderConfig,
    collection: beir.Collection,
    directory: pathlib.Path,
    options: IndexOptions,
    beam_options,
) -> dict[str, Any]:
    """Store, index, all systems that the model can have; writes the collection's runs and returns its results."""
    # Here and not above: Beam takes 1.3 s, which --help need not spend.
    from keytokens.pipelines.retrieval import build

    start = time.perf_counter()
    url = align(config, collection, directory, beam_options, k=options.k)
    aligned = time.perf_counter()
    no_table = query_table.refusal(encoder.shared_encoder(config))
    build.build(url, options, beam_options, model=config, with_query_table=no_table is None, overwrite=True)
    built = time.perf_counter()
    index = Index.open(url, model=config)
    systems, skipped = {}, {}
    for name, query_options in evaluation.SYSTEMS.items():
        if (reason := evaluation.reason_against(index, query_options, no_table=no_table)) is not None:
            skipped[name] = reason
            continue
        systems[name] = evaluation.evaluate(index, collection, query_options)
        tag = name.replace(", ", "-").replace(" ", "-").replace("'", "").replace("=", "")
        trec.write_run(directory / f"{tag}.trec", systems[name].run, tag=tag)
    compared = evaluation.compare(systems, "dense")
    return {
        "collection": collection.name,
        "documents": index.num_documents,
        "queries": len(collection.queries),
        "queries_in_corpus": len(collection.in_corpus),
        "judged_absent": collection.num_absent,
        "seconds": {
            "embedding": aligned - start,
            "indexing": built - aligned,
            "evaluating": time.perf_counter() - built,
        },
        "systems": {
            name: {**system.measures, "cost": system.cost, "against_dense": compared[name]}
            for name, system in systems.items()
        },
        "skipped": skipped,
    }


def align(
    config: models.EmbedderConfig, collection: beir.Collection, directory: pathlib.Path, beam_options, *, k: int
) -> str:
    """The collection's store, with embeddings; made unless it is there, resumed where it is not whole."""
    from keytokens.pipelines import engines, transforms

    directory.mkdir(parents=True, exist_ok=True)
    options = align_run.AlignOptions(
        model=config,
        backbone=None,
        corpus=(collection.corpus,),
        output=str(directory / "store.zarr"),
        k=k,
        save_embeddings=True,
    )
    run, planned = align_run.prepare(options)
    with progress.Progress(run), engines.pipeline(beam_options) as pipeline:
        transforms.define_pipeline(pipeline, run, planned.units)
    return run.output


def main(argv: Sequence[str]) -> None:
    """Evaluates every collection, or sweeps over them."""
    from keytokens.pipelines import engines

    beam_options = cli.beam_options(argv)
    engines.use_options(beam_options)
    evaluation.need_ir_measures()
    collections = [beir.read_collection(directory, split=SPLIT.value) for directory in cli.given(BEIR_DIR)]
    config = cli.model_from_flags()
    root = cli.make_output_dir()
    assert root is not None, "--output_dir is required"
    directories = [root / collection.name for collection in collections]
    if len(set(directories)) < len(directories):
        raise ValueError("two --beir_dir have one name, under which their results would be written; rename a folder.")
    options = IndexOptions(k=cli.K.value or IndexOptions.k)
    if SWEEP.value:
        urls = [align(config, *pair, beam_options, k=options.k) for pair in zip(collections, directories, strict=True)]
        swept = sweep.sweep(config, collections, urls)
        results.write(root / "sweep.json", {"model": config.identity(), "found": swept})
        print(f"{tables.render_sweep(swept)}\n\n{root / 'sweep.json'}")
        return
    found = {}
    for collection, directory in zip(collections, directories, strict=True):
        found[collection.name] = evaluate_collection(config, collection, directory, options, beam_options)
        # After each: what goes wrong with the next one costs none of it.
        results.write(root / "results.json", {"model": config.identity(), "found": found})
        print(tables.render_evaluation(found[collection.name]) + "\n", flush=True)
    print(f"{root / 'results.json'}; runs: " + ", ".join(f"{directory}/*.trec" for directory in directories))


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["model", "beir_dir", "output_dir"])


if __name__ == "__main__":
    run()
