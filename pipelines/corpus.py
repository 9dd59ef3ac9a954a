"""What is a corpus? Files of one document a line, and how a line becomes a document or a dead letter."""

import dataclasses
import gzip
import json
import os
from collections.abc import Iterable, Sequence
from typing import IO, Any

from keytokens.pipelines import corpus_refusals

FORMATS = ("auto", "jsonl", "text")
_JSONL_SUFFIXES = (".jsonl", ".json", ".ndjson")
_SNIPPET_CHARS = 200


@dataclasses.dataclass(frozen=True)
class CorpusFile:
    """One input file: where it is, what its documents are called when they have no id, how its lines are read."""

    path: str
    label: str  # the path below the corpus's common directory: the same on every machine
    format: str  # "jsonl" or "text"

    @property
    def compressed(self) -> bool:
        """Whether the bytes are gzip (by the name's ending, .GZ too)."""
        return self.path.lower().endswith(".gz")


@dataclasses.dataclass(frozen=True)
class Document:
    """A line that can be embedded."""

    row: int
    doc_id: str
    text: str
    file: str
    line: int  # counted from 1


@dataclasses.dataclass(frozen=True)
class DeadLetter:
    """A row that has no embedding, or one to look at: where it stands and why. `kind` is stable, `reason` is prose."""

    row: int
    doc_id: str
    file: str
    line: int
    kind: str
    reason: str
    snippet: str = ""

    def to_json(self) -> str:
        """The line written to `run/dead_letters/`."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, sort_keys=True)


class BadRecordError(ValueError):
    """A line that is no document; carries the dead letter's kind."""

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind


def match_files(patterns: Sequence[str], *, file_format: str = "auto") -> list[CorpusFile]:
    """The corpus's files in a fixed order: pattern by pattern, sorted within one; each file once.

    Patterns are paths or globs of any file system that Beam knows. Format "auto" reads `.jsonl`, `.json` and `.ndjson`
    (also with `.gz`, and in capitals) as JSON lines and everything else as text. Paths that lead to one local file,
    such as docs.jsonl, ./docs.jsonl and a link, are that file once, under the first of them.

    Raises:
      ValueError: a pattern that matches no file, a file that is no lines by its name, or an unknown format.
    """
    if file_format not in FORMATS:
        raise ValueError(f"corpus format {file_format!r} is unknown; choose one of {', '.join(FORMATS)}.")
    paths: dict[str, str] = {}  # where a path leads -> the path
    missing = []
    for pattern in patterns:
        matched = sorted(entry.path for entry in _file_systems().match([pattern])[0].metadata_list)
        if not matched:
            missing.append(pattern)
        for path in matched:
            paths.setdefault(path if "://" in path else os.path.realpath(path), path)
    if missing or not paths:
        raise ValueError(
            f"--corpus: no file matches {', '.join(map(repr, missing)) or 'an empty list'}; nothing was read or "
            "written. Check the path, and quote globs so that the shell does not expand them."
        )
    found = list(paths.values())
    corpus_refusals.refuse_names(found)
    return [
        CorpusFile(path=path, label=label, format=_format_of(path, file_format))
        for path, label in zip(found, _labels(found), strict=True)
    ]


def _labels(paths: list[str]) -> list[str]:
    """The paths below the deepest directory that all of them share ("/" separates, also in URLs)."""
    parts = [path.split("/") for path in paths]
    depth = 0
    while all(len(part) > depth + 1 and part[depth] == parts[0][depth] for part in parts):
        depth += 1
    return ["/".join(part[depth:]) for part in parts]


def _format_of(path: str, file_format: str) -> str:
    if file_format != "auto":
        return file_format
    return "jsonl" if is_json_lines(path) else "text"


def is_json_lines(path: str) -> bool:
    """Whether the name's ending says that the lines are JSON, perhaps gzipped."""
    return path.lower().removesuffix(".gz").endswith(_JSONL_SUFFIXES)


def open_raw(path: str) -> IO[bytes]:
    """The file's bytes as they are stored, seekable; nothing is decompressed behind our back."""
    from apache_beam.io.filesystem import CompressionTypes

    return _file_systems().open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def _file_systems() -> Any:
    """Beam's file systems, imported with the first corpus: Beam takes 1.3 s, and --help reads none."""
    from apache_beam.io.filesystems import FileSystems

    return FileSystems


def decompressed(raw: IO[bytes], file: CorpusFile) -> IO[bytes]:
    """The bytes of the file's lines; offsets into this stream are what a plan's segments count in."""
    return gzip.GzipFile(fileobj=raw) if file.compressed else raw  # type: ignore[return-value]


def parse_line(line: bytes, *, file: CorpusFile, row: int, number: int) -> Document | DeadLetter:
    """The document of one line, or the dead letter that says why there is none.

    Args:
      line: the line's bytes with or without its end.
      file: the file it stands in.
      row: its number in the whole corpus, from 0.
      number: its number in the file, from 1.
    """
    default_id = f"{file.label}:{number}"
    if number == 1:
        line = line.removeprefix(b"\xef\xbb\xbf")
    line = line.rstrip(b"\r\n")
    try:
        content = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return _dead(BadRecordError("invalid_utf8", f"not UTF-8: {error}"), default_id, line, file, row, number)
    doc_id = default_id
    try:
        if file.format == "text":
            text = content
        else:
            record = _json_object(content)
            doc_id = _doc_id(record) or default_id
            text = _text(record)
        if not text.strip():
            raise BadRecordError("empty", "the document is empty")
        _check_unicode("text", text)
    except BadRecordError as error:
        return _dead(error, doc_id, line, file, row, number)
    return Document(row=row, doc_id=doc_id, text=text, file=file.label, line=number)


def _dead(error: BadRecordError, doc_id: str, line: bytes, file: CorpusFile, row: int, number: int) -> DeadLetter:
    snippet = line[: 4 * _SNIPPET_CHARS].decode("utf-8", "replace")[:_SNIPPET_CHARS]
    return DeadLetter(
        row=row, doc_id=doc_id, file=file.label, line=number, kind=error.kind, reason=str(error), snippet=snippet
    )


def _json_object(content: str) -> dict[str, Any]:
    if not content.strip():
        raise BadRecordError("empty", "the line is empty")
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:  # RecursionError: a line of ten thousand brackets
        raise BadRecordError("invalid_json", f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise BadRecordError("not_an_object", f"a JSON {type(record).__name__}, not an object with a 'text'")
    return record


def _doc_id(record: dict[str, Any]) -> str | None:
    """`_id` or, where that says nothing, `id`; a string that can be stored."""
    value = record.get("_id")
    if value is None or value == "":
        value = record.get("id")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadRecordError("bad_id", f"the id is of type {type(value).__name__}, not a string or an integer")
    _check_unicode("id", str(value))
    return str(value)


def _check_unicode(what: str, value: str) -> None:
    """JSON can spell half of a surrogate pair, which no UTF-8 can store."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRecordError("invalid_utf8", f"the {what} is not Unicode text: {error.reason}") from error


def _text(record: dict[str, Any]) -> str:
    """Title and text joined by one space, as BEIR's own loaders do."""
    if "text" not in record:
        raise BadRecordError("missing_text", f"no 'text' among the keys {sorted(record)[:8]}")
    for key in ("title", "text"):
        value = record.get(key)
        if not isinstance(value, str) and (key == "text" or value is not None):
            raise BadRecordError(f"{key}_not_string", f"{key!r} is of type {type(value).__name__}, not a string")
    return " ".join(part for part in (record.get("title"), record["text"]) if part)


def corpus_digest_input(files: Iterable[CorpusFile], digests: Iterable[str]) -> str:
    """The text whose SHA-256 identifies a corpus: every file's label, format and content digest, in order."""
    return json.dumps([[f.label, f.format, digest] for f, digest in zip(files, digests, strict=True)])
