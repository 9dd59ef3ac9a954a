"""Between the steps of a build: what all shards need to know, from the blocks' column sizes and markers."""

import math

import numpy as np

from keytokens.pipelines.analysis import bm25
from keytokens.pipelines.retrieval import blocks, index_run, merge, weighting
from keytokens.pipelines.store import arrays, reader


def plan(run: index_run.IndexRun, store: reader.StoreReader) -> merge.Plan:
    """Frequencies over all blocks, and from them lengths, scales and the final row pointers."""
    options, vocab_size = run.options, store.dims.vocab_size
    columns = index_run.num_columns(options, vocab_size)
    frequencies, literal = np.zeros(columns, np.int64), np.zeros(vocab_size, np.int64)
    starts, documents, tokens, largest, squares = [], 0, 0, 0.0, 0.0
    for number, row0, _ in run.blocks(store.dims.num_rows):
        marker = index_run.read_marker(store.files, run, "blocks", number)
        if marker is None:
            raise ValueError(f"block {number} of {store.files.url} is not done. Run build_index again; it resumes.")
        indptr = arrays.read(store.files, blocks.part_path(number, "indptr"))
        frequencies += np.diff(indptr)
        if options.literal == "summed":
            stands = arrays.read(store.files, blocks.part_path(number, "frequencies")) > 0
            column = np.repeat(np.arange(columns), np.diff(indptr))
            literal += np.bincount(column[stands], minlength=vocab_size)
        starts.append(row0)
        documents += marker["documents"]
        tokens += marker["tokens"]
        largest, squares = max(largest, marker["largest"]), squares + marker["squares"]
    if options.literal == "separate":
        literal = frequencies[vocab_size:]
    lengths = frequencies.copy()
    key = lengths[:vocab_size]
    key[key > options.hub_share * documents] = 0
    if options.max_postings:
        np.minimum(key, options.max_postings, out=key)
    mean_length = tokens / max(1, documents)
    inverse = bm25.idf(literal, documents) * (literal > 0)
    literal_scale = 1.0
    if options.literal == "summed":
        literal_scale = _summed_scale(run, store, literal, documents, mean_length, squares / max(1, documents))
    top = float(inverse.max(initial=0)) * (options.k1 + 1) * literal_scale
    if options.literal == "summed":
        largest += top
    quantised = options.impacts == "uint8"
    scales = (largest / 255 or 1.0, top / 255 or 1.0) if quantised else (1.0, 1.0)
    return merge.Plan(
        indptr=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        frequencies=frequencies,
        literal_frequencies=literal,
        num_documents=documents,
        mean_length=mean_length,
        literal_scale=literal_scale,
        scales=scales,
        row_starts=tuple(starts),
    )


def _summed_scale(run, store, literal, documents, mean_length, key_squares) -> float:
    """What BM25 impacts are multiplied by, so that they have `literal_share` of a document's mean squared norm.

    Of all blocks, and rounded to the precision of the impacts: sums that differ in their last bits, as blocks of other
    sizes make them, are one scale.
    """
    inverse, squares, texts = bm25.idf(literal, documents), [], 0
    for number, _, _ in run.blocks(store.dims.num_rows):
        indptr, rows, frequencies, lengths = (
            arrays.read(store.files, blocks.part_path(number, name))
            for name in ("indptr", "rows", "frequencies", "lengths")
        )
        columns = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        impacts = weighting.literal_impacts(
            frequencies, lengths[rows], inverse[columns], mean_length=mean_length, options=run.options
        )
        squares.append(float((impacts.astype(np.float64) ** 2).sum()))
        texts += int((lengths > 0).sum())
    mean = math.fsum(squares) / max(1, texts)
    share = run.options.literal_share
    return float(np.float32(np.sqrt(share / (1 - share) * key_squares / mean))) if mean else 1.0
