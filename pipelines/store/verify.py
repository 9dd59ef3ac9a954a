"""Are the bytes of a store whole? Reads everything that finished units, and a finished run, must have written.

A shard that is absent reads as zeros without any error, so presence is checked by name before content is read.
"""

import zlib
from collections.abc import Iterable, Iterator

import numpy as np
import tensorstore as ts

from keytokens.pipelines.store import arrays, reader, run_state, schema, strings, verify_metadata
from keytokens.pipelines.store.damage import Damage

_UNREADABLE = (ValueError, OSError, EOFError, zlib.error)  # damaged gzip comes as any of the last three


def damage(store: reader.StoreReader, done: Iterable[run_state.UnitMarker], *, complete: bool) -> Iterator[Damage]:
    """What is wrong, one by one; nothing where all is well.

    Args:
      store: the store, finished or not.
      done: markers of the units whose shards must be there.
      complete: whether what the last step writes must be there too.
    """
    yield from _Check(store).run(sorted(done, key=lambda marker: marker.unit), complete=complete)


class _Check:
    def __init__(self, store: reader.StoreReader):
        self._store, self._dims = store, store.dims
        self._keys = set(store.files.keys(""))
        self._open: dict[str, ts.TensorStore] = {}
        self._units = schema.partial_moment_arrays(store.dims)
        self._rows = schema.row_arrays(store.dims)
        self._duplicates: int | None = 0  # rows flagged so far; None once a shard of the flags cannot be read

    def run(self, done: list[run_state.UnitMarker], *, complete: bool) -> Iterator[Damage]:
        """All checks, in the order of the rows."""
        yield from verify_metadata.groups_and_columns(self._store.files, self._dims)
        yield from self._opened(self._rows | self._units)
        for marker in done:
            remove = (run_state.marker_key(marker.unit),)
            start, end = marker.unit * self._dims.unit_rows, (marker.unit + 1) * self._dims.unit_rows
            for row0 in range(start, min(end, self._dims.num_rows), self._dims.shard_rows):
                yield from (Damage(what, remove) for what in self._shard(row0))
                if complete:
                    yield from map(Damage, self._duplicate_flags(row0))
            for check in (self._partial_moments(marker.unit), self._counts(marker), self._dead_letters(marker)):
                yield from (Damage(what, remove) for what in check)
        if complete:
            yield from self._opened(schema.final_moment_arrays(self._dims))
            yield from map(Damage, self._final())

    def _opened(self, specs: dict[str, arrays.ArraySpec]) -> Iterator[Damage]:
        opened, damaged = verify_metadata.open_arrays(self._store.files, specs.values())
        self._open |= opened
        yield from damaged

    def _shard(self, row0: int) -> Iterator[str]:
        row1, index, where = self._place(row0)
        read: dict[str, np.ndarray] = {}
        for path in self._rows:
            if path == schema.DUPLICATE_ID:  # the last step writes it
                continue
            width = self._dims.k if path in (schema.INDICES, schema.DATA) else 1
            last = int(path == schema.INDPTR and row1 == self._dims.num_rows)
            try:
                value = self._read(path, index, slice(row0 * width, row1 * width + last))
            except _UNREADABLE as error:
                yield f"{path}, {where}: {error}"
                continue
            if value is not None:
                read[path] = value
        for path in (schema.DOC_ID, schema.TEXT_TOKENS)[: 1 + self._dims.has_text_tokens]:
            try:
                count = len(strings.read_chunk(self._store.files, path, index))
            except _UNREADABLE as error:
                yield f"{path}, {where}: {error}"
                continue
            if count != self._dims.shard_rows:
                yield f"{path}, {where}: {count} strings, where {self._dims.shard_rows} are due"
        yield from (f"{path}, {where}: {what}" for path, what in self._nonsense(read, row0))

    def _place(self, row0: int) -> tuple[int, int, str]:
        row1 = min(row0 + self._dims.shard_rows, self._dims.num_rows)
        return row1, row0 // self._dims.shard_rows, f"rows {row0} to {row1 - 1}"

    def _duplicate_flags(self, row0: int) -> Iterator[str]:
        row1, index, where = self._place(row0)
        try:
            flags = self._read(schema.DUPLICATE_ID, index, slice(row0, row1))
        except _UNREADABLE as error:
            yield f"{schema.DUPLICATE_ID}, {where}: {error}"
            flags = None
        if flags is None or self._duplicates is None:
            self._duplicates = None
        else:
            self._duplicates += int(flags.sum())

    def _read(self, path: str, index: int, part: slice) -> np.ndarray | None:
        """The part of an array; None if its metadata is damaged, which has been said.

        Raises:
          ValueError: the shard is missing or its checksum is wrong.
        """
        if path not in self._open:
            return None
        opened = self._open[path]
        key = f"{path}/c/{index}" + "/0" * (opened.rank - 1)
        if key not in self._keys:
            raise ValueError(f"the file {key} is missing")
        return np.asarray(opened[part].read().result())

    def _nonsense(self, read: dict[str, np.ndarray], row0: int) -> Iterator[tuple[str, str]]:
        """Values that no run writes, though their checksums hold."""
        k, vocab_size = self._dims.k, self._dims.vocab_size
        if schema.INDICES in read:
            indices = read[schema.INDICES].reshape(-1, k)
            if (np.diff(indices, axis=1) <= 0).any() or (indices < 0).any() or (indices >= vocab_size).any():
                yield schema.INDICES, f"token ids are not ascending within 0 to {vocab_size - 1}"
        for path in (schema.DATA, "obs/norm", "obs/logsumexp", schema.EMBEDDINGS, schema.BACKBONE_EMBEDDINGS):
            if path in read and not np.isfinite(read[path]).all():
                yield path, "a value is not finite"
        if schema.INDPTR in read:
            pointers = read[schema.INDPTR]
            if (pointers != (row0 + np.arange(len(pointers))) * k).any():
                yield schema.INDPTR, f"row pointers are not multiples of {k}"

    def _partial_moments(self, unit: int) -> Iterator[str]:
        for path in self._units:
            try:
                self._read(path, unit, slice(unit, unit + 1))
            except _UNREADABLE as error:
                yield f"{path}, unit {unit}: {error}"

    def _counts(self, marker: run_state.UnitMarker) -> Iterator[str]:
        """Rows that the columns flag must be as many as the marker and the dead-letter file say."""
        row0 = marker.unit * self._dims.unit_rows
        due = min(self._dims.unit_rows, self._dims.num_rows - row0)
        if marker.rows != due:
            yield f"{run_state.marker_key(marker.unit)}: {marker.rows} rows, where {due} are due"
            return
        rows = slice(row0, row0 + marker.rows)
        for path, count in (("obs/dead_letter", marker.dead_letters), ("obs/truncated", marker.truncated)):
            try:
                flagged = int(self._open[path][rows].read().result().sum()) if path in self._open else count
            except ValueError:
                continue  # said by _shard
            shards = range(row0, row0 + marker.rows, self._dims.shard_rows)
            present = all(f"{path}/c/{row // self._dims.shard_rows}" in self._keys for row in shards)
            if present and flagged != count:
                yield f"{path}, unit {marker.unit}: {flagged} rows are flagged, its marker says {count}"

    def _dead_letters(self, marker: run_state.UnitMarker) -> Iterator[str]:
        where = f"run/dead_letters, unit {marker.unit}"
        yield from self._letters(run_state.unit_name(marker.unit), where, marker.dead_letters, "its marker says")

    def _letters(self, name: str, where: str, due: int, says: str) -> Iterator[str]:
        count = 0
        for line in run_state.iterate_dead_letter_lines(self._store.files, name):
            count += line.endswith(b"\n")
            try:
                run_state.parse_dead_letter(line)
            except ValueError as error:
                yield f"{where}, line {count}: no dead letter ({error})"
        if count != due:
            yield f"{where}: {count} lines, {says} {due}"

    def _final(self) -> Iterator[str]:
        for path in schema.final_moment_arrays(self._dims):
            if path not in self._open:
                continue
            try:
                key = f"{path}/c" + "/0" * self._open[path].rank
                if key not in self._keys:
                    raise ValueError(f"the file {key} is missing")
                self._open[path].read().result()
            except _UNREADABLE as error:
                yield f"{path}: {error}"
        try:
            count = len(strings.read_chunk(self._store.files, schema.TOKEN, 0))
            if count != self._dims.vocab_size:
                yield f"{schema.TOKEN}: {count} tokens, where {self._dims.vocab_size} are due"
        except _UNREADABLE as error:
            yield f"{schema.TOKEN}: {error}"
        if self._duplicates is not None:
            where = run_state.dead_letters_key(run_state.DUPLICATES)
            says = f"rows that {schema.DUPLICATE_ID} flags:"
            yield from self._letters(run_state.DUPLICATES, where, self._duplicates, says)
