"""Which files are no lines of text? Told by name and first bytes, before every row becomes a dead letter."""

import os
from collections.abc import Iterable

_COMPRESSED = (".bz2", ".xz", ".lzma", ".zst", ".zstd", ".lz4")
_ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz", ".tar.gz")
_TABLES = (".parquet", ".arrow", ".feather", ".avro", ".orc")
# First bytes that no text has: each holds a byte that is not UTF-8, a control character, or ten bytes of one format.
_MAGIC = {
    b"\x1f\x8b\x08": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    **{b"BZh%d1AY&SY" % level: "bzip2" for level in range(1, 10)},
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BLANK = b"\xef\xbb\xbf \t\r\n"
_SHOWN = 3


def refuse_names(paths: Iterable[str]) -> None:
    """Opens nothing.

    Raises:
      ValueError: the first few files whose ending says that they are no lines, a directory, a name that is not UTF-8.
    """
    strange: dict[str, list[str]] = {}
    for path in paths:
        _refuse_directory(path)
        if (cure := _cure(path.lower())) is not None:
            strange.setdefault(cure, []).append(path)
        try:
            path.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"--corpus: the name {path!r} is not UTF-8, and the ids of documents without one, which hold it, could "
                "not be stored; nothing was written. Rename the file."
            ) from error
    for cure, found in strange.items():
        more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
        raise ValueError(
            f"--corpus: {', '.join(found[:_SHOWN])}{more}: by the ending, no lines of text, plain or gzipped. Every "
            f"row would be a dead letter, so nothing was written. {cure}, or leave it out of the pattern."
        )


def _refuse_directory(path: str) -> None:
    if os.path.isdir(path):  # noqa: PTH112 (it may be a URL, which no pathlib.Path holds)
        raise ValueError(
            f"--corpus: {path} is a directory, and files are what is read; nothing was written. Name those in it, such "
            f"as '{path.rstrip('/')}/*.jsonl', or leave it out of the pattern."
        )


def _cure(name: str) -> str | None:
    if name.endswith(_ARCHIVES):
        return "Unpack it and name the files in it"
    if name.endswith(_COMPRESSED):
        return "Decompress it, or compress it with gzip and name it .gz"
    if name.endswith(_TABLES):
        return "Write its texts as JSON lines, an object with `text` and `_id` each"
    return None


def refuse_content(path: str, head: bytes, *, json_lines: bool) -> None:
    """Looks at the first bytes of a file, decompressed if its name ends in .gz.

    Args:
      path: of the file.
      head: its first bytes, the more the better.
      json_lines: whether its lines are read as JSON.

    Raises:
      ValueError: compressed bytes, UTF-16, or a .json file that is one array.
    """
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            again = " once more" if path.lower().endswith(".gz") else ""
            cure = "Give it an ending of .gz" if name == "gzip" and not again else "Decompress it"
            raise ValueError(
                f"--corpus: {path} is compressed by {name}{again}, which its ending does not say, so its lines cannot "
                f"be read; nothing was written. {cure}, or leave it out of the pattern."
            )
    if head.startswith(_UTF16):
        raise ValueError(
            f"--corpus: {path} is UTF-16 by its first two bytes, and UTF-8 is what is read: its texts would be "
            "mangled; nothing was written. Convert it, as `iconv -f UTF-16 -t UTF-8` does, or leave it out of the "
            "pattern."
        )
    is_json = path.lower().removesuffix(".gz").endswith(".json")
    if json_lines and is_json and head.lstrip(_BLANK).startswith(b"["):
        raise ValueError(
            f"--corpus: {path} is one JSON array, and a JSON object a line is what is read: every line would be a dead "
            "letter; nothing was written. Write an object a line, as `jq -c '.[]' FILE > FILE.jsonl` does; if its "
            "lines are meant to be texts, say --corpus_format=text."
        )
