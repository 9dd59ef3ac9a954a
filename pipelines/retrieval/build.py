"""Builds the index of a store: plan, blocks, shards, and last the group's metadata, which makes it an index.

Safe to kill and to run again: blocks and shards carry markers, everything is written whole, X_T/zarr.json comes last.
Memory is bounded by a block or a shard, whatever the corpus.
"""

import dataclasses
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.options import pipeline_options

from keytokens import models
from keytokens.pipelines import encoder, engines, store_model
from keytokens.pipelines.retrieval import blocks, checks, decoding, index_run, merge, planning, query_table
from keytokens.pipelines.retrieval.options import IndexOptions
from keytokens.pipelines.store import arrays, reader, schema
from keytokens.pipelines.store import files as store_files

_DIGEST = f"{index_run.WORK}/digest.json"


def build(
    url: str,
    options: IndexOptions,
    beam_options: pipeline_options.PipelineOptions,
    *,
    model: models.EmbedderConfig | None = None,
    with_query_table: bool = False,
    overwrite: bool = False,
    block_rows: int = index_run.BLOCK_ROWS,
    shard_postings: int = index_run.SHARD_POSTINGS,
) -> dict[str, Any]:
    """Builds X_T/ in the store at `url` and returns what the index says of itself; an index that is there stays.

    Args:
      url: of a complete store.
      options: of the index.
      beam_options: which engine runs the steps.
      model: the store's embedder, where its name no longer finds it.
      with_query_table: also store a vector per vocabulary entry, for queries without the model.
      overwrite: delete an index of other options first.
      block_rows: rows of a block.
      shard_postings: postings of a file.

    Raises:
      ValueError: no store, an unfinished one, one without what the options need, an index of other options, or an
        embedder that cannot have what is asked for. Nothing was changed then.
    """
    store = reader.StoreReader(url)
    checks.check_build(store, options)
    if block_rows < 1 or shard_postings < 1:
        raise ValueError(f"block_rows={block_rows} and shard_postings={shard_postings} must be positive.")
    config = checks.same_model(store, model) if model is not None else store_model.config_of(store)
    if with_query_table or options.centred or options.without_first:
        checks.check_embedder(encoder.shared_encoder(config), options, with_query_table=with_query_table)
    described = index_run.describe(store, options)
    existing = index_run.read_index_attributes(store.files)
    if existing is not None and existing["described"] != described and not overwrite:
        raise ValueError(checks.other_index(store, existing["described"]["options"], dataclasses.asdict(options)))
    if existing is not None and existing["described"] != described:
        remove(store.files)
        existing = None
    if existing is None:
        existing = _build(store, options, described, config, beam_options, block_rows, shard_postings)
    if with_query_table:
        query_table.write(store, encoder.shared_encoder(config))
    return existing


def remove(files: store_files.StoreFiles) -> None:
    """Deletes the index and what an unfinished build has left; its metadata first, so that none is half an index."""
    files.delete(f"{index_run.GROUP}/zarr.json")
    for prefix in (index_run.GROUP, index_run.RETRIEVAL, index_run.WORK):
        files.delete_prefix(f"{prefix}/")


def _build(
    store: reader.StoreReader,
    options: IndexOptions,
    described: dict[str, Any],
    config: models.EmbedderConfig,
    beam_options: pipeline_options.PipelineOptions,
    block_rows: int,
    shard_postings: int,
) -> dict[str, Any]:
    digest = index_run.digest_of(described, block_rows=block_rows, shard_postings=shard_postings)
    run = index_run.IndexRun(store.files.url, config, options, block_rows, shard_postings, digest)
    begin(run, store)
    _run(beam_options, "Blocks", run.blocks(store.dims.num_rows), blocks.process, run)
    plan = planning.plan(run, store)
    plan.write(store.files)
    _create(run, store, plan)
    _run(beam_options, "Shards", list(range(merge.num_shards(run, plan))), merge.process, run)
    attributes = _finish(run, store, plan, described)
    store.files.delete_prefix(f"{index_run.WORK}/")
    return attributes


def begin(run: index_run.IndexRun, store: reader.StoreReader) -> None:
    """Clears what an unfinished build of other options has left, and writes what all blocks need."""
    left = store.files.read_json(_DIGEST)
    if left != run.digest:
        remove(store.files)
        store.files.write_json(_DIGEST, run.digest)
    _write_map(store, run.options, run.model)


def _run(beam_options, name, items, work, run) -> None:
    """The work on each item, shared out by Beam; linear, without tagged outputs, as every runner can."""
    if not items:
        return
    with engines.pipeline(beam_options) as pipeline:
        _ = (
            pipeline
            | name >> beam.Create(items, reshuffle=False)
            | f"Spread{name}" >> beam.Reshuffle()
            | f"Work{name}" >> beam.Map(_swapped, work, run)
        )


def _swapped(item, work, run):
    return work(run, item)


def _write_map(store: reader.StoreReader, options: IndexOptions, config: models.EmbedderConfig) -> None:
    """The embedding map, by which queries are decoded as documents were."""
    loaded = encoder.shared_encoder(config)
    head = decoding.head_matrix(loaded)
    found = decoding.make_map(options, head, store.merged_moments().f)
    arrays.write_group(store.files, index_run.RETRIEVAL, schema.MAPPING)
    for name in ("matrix", "centre", "mean_row"):
        arrays.write_whole(store.files, f"{index_run.RETRIEVAL}/{name}", getattr(found, name))
    typical = np.array(np.linalg.norm(head, axis=1).mean(), np.float32)
    arrays.write_whole(store.files, f"{index_run.RETRIEVAL}/typical_row", typical)


def _create(run: index_run.IndexRun, store: reader.StoreReader, plan: merge.Plan) -> None:
    postings, dtype = int(plan.indptr[-1]), run.options.impacts
    for path, name in ((index_run.INDICES, "int32"), (index_run.DATA, dtype)):
        arrays.create(store.files, index_run.flat_spec(path, name, postings, shard=run.shard_postings))
    arrays.write_whole(store.files, index_run.INDPTR, plan.indptr)


def _finish(run, store, plan, described) -> dict[str, Any]:
    vocab_size = store.dims.vocab_size
    found = {
        "described": described,
        "num_documents": plan.num_documents,
        "mean_length": plan.mean_length,
        "postings": int(plan.indptr[-1]),
        "key_postings": int(plan.indptr[min(vocab_size, len(plan.indptr) - 1)]),
        "scales": list(plan.scales),
        "literal_scale": plan.literal_scale,
    }
    attributes = {
        "encoding-type": "csc_matrix",
        "encoding-version": "0.1.0",
        "shape": [store.dims.num_rows, index_run.num_columns(run.options, vocab_size)],
        index_run.ATTRIBUTE: found,
    }
    arrays.write_group(store.files, index_run.GROUP, attributes)
    return found
