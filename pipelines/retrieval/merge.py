"""Second step of a build: a shard of the final index gathers the postings of its tokens from all blocks.

Positions of the index are numbered token by token, and within a token by row. A shard is a range of positions and one
file of each array, so that one worker alone writes it; it reads from every block one run of postings.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from keytokens.pipelines.analysis import bm25
from keytokens.pipelines.retrieval import blocks, index_run, weighting
from keytokens.pipelines.store import arrays
from keytokens.pipelines.store import files as store_files

_PLAN = f"{index_run.WORK}/plan"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What all shards need to know, F columns.

    Attributes:
      indptr: int64 [F + 1], of the final index: without hubs, capped.
      frequencies: int64 [F], documents that have the column's posting before hubs and caps; of literal tokens in a
        summed index, see `literal_frequencies`.
      literal_frequencies: int64 [V], documents that contain the token.
      num_documents: with an embedding.
      mean_length: tokens of a document.
      literal_scale: BM25 impacts are multiplied by it.
      scales: impact of 1 in uint8, of key and literal columns; 1 where impacts are float32.
      row_starts: first row of every block.
    """

    indptr: np.ndarray
    frequencies: np.ndarray
    literal_frequencies: np.ndarray
    num_documents: int
    mean_length: float
    literal_scale: float
    scales: tuple[float, float]
    row_starts: tuple[int, ...]

    def write(self, files: store_files.StoreFiles) -> None:
        """Stores the plan where workers read it."""
        for name in ("indptr", "frequencies", "literal_frequencies"):
            arrays.write_whole(files, f"{_PLAN}/{name}", getattr(self, name))
        numbers = {
            name: getattr(self, name)
            for name in ("num_documents", "mean_length", "literal_scale", "scales", "row_starts")
        }
        files.write_json(f"{_PLAN}/numbers.json", numbers)


def read_plan(files: store_files.StoreFiles) -> Plan:
    """The plan that `Plan.write` has stored."""
    numbers: dict[str, Any] = files.read_json(f"{_PLAN}/numbers.json") or {}
    read: dict[str, Any] = {
        name: arrays.read(files, f"{_PLAN}/{name}") for name in ("indptr", "frequencies", "literal_frequencies")
    }
    return Plan(**read, **{**numbers, "scales": tuple(numbers["scales"]), "row_starts": tuple(numbers["row_starts"])})


@functools.lru_cache(maxsize=2)
def _plan_of(run: index_run.IndexRun) -> Plan:
    return read_plan(store_files.StoreFiles(run.store))


def num_shards(run: index_run.IndexRun, plan: Plan) -> int:
    """At least one: an empty index has an empty file."""
    return max(1, -(-int(plan.indptr[-1]) // run.shard_postings))


def process(run: index_run.IndexRun, shard: int) -> int:
    """Writes a shard unless it is there; returns its number."""
    files = store_files.StoreFiles(run.store)
    if index_run.read_marker(files, run, "shards", shard) is not None:
        return shard
    plan = _plan_of(run)
    start = shard * run.shard_postings
    end = min(start + run.shard_postings, int(plan.indptr[-1]))
    rows, impacts = gather(run, files, plan, start, end)
    for path, value in ((index_run.INDICES, rows), (index_run.DATA, impacts)):
        if end > start:
            arrays.open_array_to_write(files, path)[start:end].write(value).result()
    index_run.write_marker(files, run, "shards", shard, postings=end - start)
    return shard


def gather(
    run: index_run.IndexRun, files: store_files.StoreFiles, plan: Plan, start: int, end: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows int32 and impacts of the postings at positions [start, end) of the final index."""
    first = int(np.searchsorted(plan.indptr, start, side="right")) - 1
    last = int(np.searchsorted(plan.indptr, end, side="left"))
    columns, rows, values = _postings(run, files, plan, first, last)
    # By column, then row: blocks come in the order of their rows.
    order = np.argsort(columns, kind="stable")
    columns, rows, values = columns[order], rows[order], values[order]
    kept = _within_caps(plan, first, last, columns, values)
    rows, columns, values = rows[kept], columns[kept], values[kept]
    offset = int(plan.indptr[first])
    part = slice(start - offset, end - offset)
    if run.options.impacts == "uint8":
        literal = columns[part] >= len(plan.literal_frequencies)
        return rows[part], weighting.quantise(values[part], np.where(literal, plan.scales[1], plan.scales[0]))
    return rows[part], values[part].astype(np.float32)


def _postings(
    run: index_run.IndexRun, files: store_files.StoreFiles, plan: Plan, first: int, last: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, rows and impacts of all postings of columns [first, last), block by block."""
    columns, rows, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
    kept = np.diff(plan.indptr[first : last + 1]) > 0
    for number, row0 in enumerate(plan.row_starts):
        indptr = _read(files, number, "indptr", first, last + 1)
        begin, stop = int(indptr[0]), int(indptr[-1])
        if begin == stop:
            continue
        column = np.repeat(np.arange(first, last), np.diff(indptr))
        wanted = kept[column - first]
        row = _read(files, number, "rows", begin, stop)
        value = _read(files, number, "weights", begin, stop)
        if run.options.literal != "none":
            frequency = _read(files, number, "frequencies", begin, stop)
            lengths = _read(files, number, "lengths", 0, None)
            token = column % len(plan.literal_frequencies)
            literal = weighting.literal_impacts(
                frequency,
                lengths[row],
                bm25.idf(plan.literal_frequencies, plan.num_documents)[token],
                mean_length=plan.mean_length,
                options=run.options,
            )
            value = value + np.float32(plan.literal_scale) * literal
        columns.append(column[wanted])
        rows.append((row + row0)[wanted].astype(np.int32))
        values.append(value[wanted])
    return np.concatenate(columns), np.concatenate(rows), np.concatenate(values)


def _within_caps(plan: Plan, first: int, last: int, columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Indices of the postings that stay, in order: the heaviest of each capped column, ties to the lower row."""
    lengths = np.diff(plan.indptr[first : last + 1])
    if not (plan.frequencies[first:last] > lengths)[lengths > 0].any():
        return np.arange(len(columns))
    order = np.lexsort((np.arange(len(columns)), -values, columns))
    starts = np.searchsorted(columns[order], np.arange(first, last))
    rank = np.arange(len(columns)) - starts[columns[order] - first]
    return np.sort(order[rank < lengths[columns[order] - first]])


def _read(files: store_files.StoreFiles, number: int, name: str, start: int, end: int | None) -> np.ndarray:
    return np.asarray(arrays.open_array(files, blocks.part_path(number, name))[start:end].read().result())
