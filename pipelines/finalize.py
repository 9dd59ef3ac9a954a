"""The last step of a run, which sees the whole corpus: merges moments, flags repeated ids, completes the store."""

import hashlib
import itertools

import numpy as np

from keytokens.pipelines import align_run, corpus, run_errors
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

    Memory: 16 bytes a row for the sort of 64-bit hashes; only rows whose hashes meet are compared as strings.
    """
    num_rows = store.dims.num_rows
    hashes = np.fromiter((_hash64(doc_id) for doc_id in store.doc_ids()), np.uint64, num_rows)
    order = np.argsort(hashes, kind="stable")
    meets = np.zeros(num_rows, bool)
    same = hashes[order][1:] == hashes[order][:-1]
    meets[order[1:][same]] = meets[order[:-1][same]] = True
    duplicate = np.zeros(num_rows, bool)
    first: dict[str, int] = {}
    lines = []
    if meets.any():
        places = _Places(store.manifest["corpus_files"])
        for row, doc_id in enumerate(store.doc_ids()):
            if meets[row] and first.setdefault(doc_id, row) != row:
                duplicate[row] = True
                file, line = places.of(row)
                reason = f"the id was used before, by row {first[doc_id]}; this row keeps its own embedding"
                lines.append(corpus.DeadLetter(row, doc_id, file, line, "duplicate_id", reason).to_json())
    if num_rows:
        out.write_duplicates(duplicate)
    run_state.write_dead_letters(out.files, "duplicate_ids", lines)
    return int(duplicate.sum())


def _hash64(doc_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(doc_id.encode(), digest_size=8).digest(), "little")


class _Places:
    """File and line of a row."""

    def __init__(self, corpus_files: list[dict]):
        self._labels = [file["label"] for file in corpus_files]
        self._starts = np.cumsum([0, *(file["rows"] for file in corpus_files)])

    def of(self, row: int) -> tuple[str, int]:
        file = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._labels[file], int(row - self._starts[file]) + 1
