"""Which rows does each work unit hold, and at which bytes do they stand? One pass over the corpus, no Beam.

Lines are counted and hashed as they stream by; a *unit* is a run of `unit_rows` rows, and a *segment* is the part of
a unit that lies in one file. The plan depends on the files' bytes and order only: every launch of a job makes the same.
"""

import dataclasses
import gzip
import hashlib
import zlib
from collections.abc import Sequence
from typing import IO

import numpy as np

from keytokens.pipelines import corpus, corpus_refusals

_BLOCK_BYTES = 4 << 20
_NEWLINE = 10


@dataclasses.dataclass(frozen=True)
class Segment:
    """Consecutive lines of one file: bytes [start, end) of its decompressed content."""

    file: corpus.CorpusFile
    start: int
    end: int
    row: int  # number of its first row in the corpus, from 0
    line: int  # number of its first line in the file, from 1
    num_rows: int
    crc32: int  # of those bytes: a file that changed after planning is noticed


@dataclasses.dataclass(frozen=True)
class Unit:
    """Rows [row0, row1) and the segments that hold them."""

    index: int
    row0: int
    row1: int
    segments: tuple[Segment, ...]


@dataclasses.dataclass(frozen=True)
class PlannedFile:
    """What the pass learned about one file."""

    file: corpus.CorpusFile
    num_bytes: int
    sha256: str
    num_rows: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """The whole corpus as units."""

    files: tuple[PlannedFile, ...]
    units: tuple[Unit, ...]

    @property
    def num_rows(self) -> int:
        """Rows of the corpus, dead letters included."""
        return self.units[-1].row1 if self.units else 0

    @property
    def corpus_sha256(self) -> str:
        """What identifies the corpus: labels, formats and content digests of its files, in order."""
        description = corpus.corpus_digest_input((f.file for f in self.files), (f.sha256 for f in self.files))
        return hashlib.sha256(description.encode()).hexdigest()


def plan_units(files: Sequence[corpus.CorpusFile], unit_rows: int) -> Plan:
    """The units of `unit_rows` rows (the last may be shorter) over all files, in order.

    Raises:
      ValueError: a file that cannot be read to its end (missing, no permission, damaged gzip), or is no lines.
    """
    if unit_rows < 1:
        raise ValueError(f"unit_rows is {unit_rows}; a unit holds at least one row.")
    segments: list[Segment] = []
    planned = []
    row = 0
    for file in files:
        pass_ = _FilePass(file, row, unit_rows)
        planned.append(pass_.run())
        segments += pass_.segments
        row += planned[-1].num_rows
    return Plan(files=tuple(planned), units=_group(segments, row, unit_rows))


def _group(segments: list[Segment], num_rows: int, unit_rows: int) -> tuple[Unit, ...]:
    grouped: dict[int, list[Segment]] = {}
    for segment in segments:
        grouped.setdefault(segment.row // unit_rows, []).append(segment)
    return tuple(
        Unit(index, index * unit_rows, min((index + 1) * unit_rows, num_rows), tuple(members))
        for index, members in sorted(grouped.items())
    )


class _HashingReader:
    """Hashes and counts the stored bytes while somebody else (gzip) reads them."""

    def __init__(self, raw: IO[bytes]):
        self._raw = raw
        self.sha256 = hashlib.sha256()
        self.num_bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self._raw.read(size)
        self.sha256.update(data)
        self.num_bytes += len(data)
        return data


class _FilePass:
    """One pass over one file, cutting a segment wherever a unit ends."""

    def __init__(self, file: corpus.CorpusFile, row: int, unit_rows: int):
        self.file, self.unit_rows = file, unit_rows
        self.first_row = self.row = row  # row that the next newline ends
        self.segments: list[Segment] = []
        self.offset = self.start = 0
        self.start_row = row
        self.crc32 = 0

    def run(self) -> PlannedFile:
        """Reads the file to its end."""
        try:
            with corpus.open_raw(self.file.path) as raw:
                reader = _HashingReader(raw)
                stream = gzip.GzipFile(fileobj=reader) if self.file.compressed else reader  # type: ignore[call-overload]
                last = b"\n"
                while block := stream.read(_BLOCK_BYTES):
                    if not self.offset:
                        corpus_refusals.refuse_content(self.file.path, block, json_lines=self.file.format == "jsonl")
                    self._block(block)
                    last = block[-1:]
                if last != b"\n":  # a last line without its newline is a row too
                    self.row += 1
                self._cut()
        except (OSError, EOFError, zlib.error) as error:  # gzip damage comes as any of the three
            raise ValueError(
                f"--corpus: {self.file.path} cannot be read to its end ({error}); nothing was written. "
                "Restore the file or leave it out of the pattern."
            ) from error
        return PlannedFile(self.file, reader.num_bytes, reader.sha256.hexdigest(), self.row - self.first_row)

    def _block(self, block: bytes) -> None:
        num_lines = block.count(b"\n")
        done = 0
        if (self.row + num_lines) // self.unit_rows != self.row // self.unit_rows:
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE) + 1
            rows_after = self.row + 1 + np.arange(len(ends))
            for index in np.flatnonzero(rows_after % self.unit_rows == 0):
                self._advance(block[done : int(ends[index])])
                done = int(ends[index])
                self.row = int(rows_after[index])
                self._cut()
            num_lines = len(ends) - int(np.searchsorted(ends, done, side="right"))
        self._advance(block[done:])
        self.row += num_lines

    def _advance(self, data: bytes) -> None:
        self.crc32 = zlib.crc32(data, self.crc32)
        self.offset += len(data)

    def _cut(self) -> None:
        if self.row > self.start_row:
            self.segments.append(
                Segment(
                    file=self.file,
                    start=self.start,
                    end=self.offset,
                    row=self.start_row,
                    line=self.start_row - self.first_row + 1,
                    num_rows=self.row - self.start_row,
                    crc32=self.crc32,
                )
            )
        self.start, self.start_row, self.crc32 = self.offset, self.row, 0
