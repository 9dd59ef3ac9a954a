"""The rows of a work unit, read back from the byte ranges that its plan recorded."""

import zlib
from collections.abc import Iterator

from keytokens.pipelines import corpus, plan, run_errors


class CorpusChangedError(run_errors.RunError):
    """The bytes of a planned segment are not what they were when the plan was made."""


class CorpusUnreadableError(run_errors.RunError):
    """A planned segment cannot be read any more."""


def read_unit(unit: plan.Unit) -> Iterator[corpus.Document | corpus.DeadLetter]:
    """Every row of the unit in order: a document, or the dead letter that stands for it.

    A gzip file is decompressed from its start to reach a segment: many small files are cheaper than one large one.

    Raises:
      CorpusChangedError: a file's bytes changed since planning; raised before the unit can be marked done.
      CorpusUnreadableError: a file went away since planning, or its file system fails.
    """
    for segment in unit.segments:
        yield from _read_segment(segment)


def _read_segment(segment: plan.Segment) -> Iterator[corpus.Document | corpus.DeadLetter]:
    crc32, offset, count = 0, segment.start, 0
    try:
        with corpus.open_raw(segment.file.path) as raw:
            stream = corpus.decompressed(raw, segment.file)
            stream.seek(segment.start)
            while offset < segment.end and (line := stream.readline(segment.end - offset)):
                crc32 = zlib.crc32(line, crc32)
                offset += len(line)
                yield corpus.parse_line(line, file=segment.file, row=segment.row + count, number=segment.line + count)
                count += 1
                if count == segment.num_rows:
                    break
    except (OSError, EOFError, zlib.error) as error:  # gzip damage comes as any of the three
        raise CorpusUnreadableError(
            f"{_place(segment)} cannot be read any more ({error}), though the launch could; these rows are not done, "
            "finished units are safe. Put the file back as it was, then launch again with the same flags; it resumes."
        ) from error
    if (offset, count, crc32) != (segment.end, segment.num_rows, segment.crc32):
        raise CorpusChangedError(
            f"{_place(segment)}: the bytes differ from those planned at launch, so rows would no longer match their "
            "numbers. Do not write to a corpus while it is being read; launch again with the final files and a new "
            "--output."
        )


def _place(segment: plan.Segment) -> str:
    return f"{segment.file.path}, lines {segment.line} to {segment.line + segment.num_rows - 1}"
