"""The last step of a run, which sees the whole corpus: merges moments, flags repeated ids, completes the store."""

import itertools
from collections.abc import Iterator

import numpy as np

from keytokens.pipelines import align_run, corpus, duplicates, run_errors
from keytokens.pipelines.analysis import moments
from keytokens.pipelines.store import files as store_files
from keytokens.pipelines.store import reader, run_state, writer

_COUNTED = ("rows", "dead_letters", "truncated", "tokens", "batch_tokens", "real_tokens")


class MissingUnitsError(run_errors.RunError):
    """Units without a marker when the pipeline believed to be done."""


def finalize(run: align_run.AlignRun) -> dict[str, int]:
    """Completes the store and returns its counts. Safe to repeat: it writes the same bytes.

    Raises:
      MissingUnitsError: a unit has no marker of this run; the store stays incomplete and can be resumed.
    """
    files = store_files.StoreFiles(run.output)
    counts = dict.fromkeys(_COUNTED, 0)
    missing = []
    for unit in range(run.dims.num_units):
        marker = run_state.read_marker(files, unit, run.identity_sha256)
        if marker is None:
            missing.append(unit)
            continue
        for name in _COUNTED:
            counts[name] += getattr(marker, name)
    if missing:
        raise MissingUnitsError(
            f"{len(missing)} of {run.dims.num_units} units of {run.output} are not done (the first: {missing[0]}), "
            "though the pipeline has ended. Launch it again with the same flags; it resumes with these."
        )
    store = reader.StoreReader(run.output, complete=False)
    out = writer.StoreWriter(files, run.dims)
    start = moments.PairMoments.zero(run.dims.hidden_size, has_backbone=run.dims.has_backbone)
    out.write_final_moments(moments.merge_all(itertools.chain([start], store.partial_moments())))
    counts["embedded"] = counts["rows"] - counts["dead_letters"]
    counts["duplicate_ids"] = _flag_duplicates(store, out)
    manifest = store.manifest
    align_run.write_manifest(files, manifest["identity"], manifest["corpus_files"], counts=counts)
    files.write(run_state.COMPLETED, b"")
    return counts


def _flag_duplicates(store: reader.StoreReader, out: writer.StoreWriter) -> int:
    """Flags every later row that repeats an earlier row's id; returns how many.

    Memory: 8 to 12 bytes a row (`duplicates`), one for its flag, and the file that lists those that repeat an id.
    """
    duplicate = np.zeros(store.dims.num_rows, bool)
    run_state.write_dead_letters(out.files, run_state.DUPLICATES, _flag(duplicate, store))
    if len(duplicate):
        out.write_duplicates(duplicate)
    return int(duplicate.sum())


def _flag(duplicate: np.ndarray, store: reader.StoreReader) -> Iterator[str]:
    """Sets the flag, bool [N], of each repeating row, and yields its dead letter."""
    places = _Places(store.manifest["corpus_files"])
    for row, doc_id, first in duplicates.repeats(store.doc_ids, len(duplicate)):
        duplicate[row] = True
        file, line = places.of(row)
        reason = f"the id was used before, by row {first}; this row keeps its own embedding"
        yield corpus.DeadLetter(row, doc_id, file, line, "duplicate_id", reason).to_json()


class _Places:
    """File and line of a row."""

    def __init__(self, corpus_files: list[dict]):
        self._labels = [file["label"] for file in corpus_files]
        self._starts = np.cumsum([0, *(file["rows"] for file in corpus_files)])

    def of(self, row: int) -> tuple[str, int]:
        file = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._labels[file], int(row - self._starts[file]) + 1
