"""Word vectors in text: GloVe (no header), word2vec and fastText .vec (a first line "n D"), plain or gzipped.

One word a line, then D numbers, separated by single spaces. Files of millions of lines are read once, and only wanted
words are parsed. n words, D dimension.
"""

import gzip
import itertools
import pathlib
from collections import Counter
from collections.abc import Collection, Iterator
from typing import IO, cast

import numpy as np

from keytokens.pipelines.words.vectors import Loaded

_MAX_LINE_BYTES = 1 << 20  # 65,536 numbers of 16 characters


def read_text_vectors(path: str, *, wanted: Collection[str] | None = None) -> Loaded:
    """Words and vectors of a text file; of a word that stands twice, the first.

    Args:
      path: ends in .gz if it is gzipped.
      wanted: words to keep; by default all.

    Raises:
      ValueError: not a file of word vectors; names the line and what is wrong with it.
    """
    skipped: Counter[str] = Counter()
    with open_vectors(path) as file:
        lines = _lines(file, path)
        first = next(lines, None)
        if first is None:
            raise ValueError(f"{path} is empty, so it holds no word vectors.")
        second = next(lines, None)
        header = _header(first, second)
        rows = itertools.chain([] if header else [first], [] if second is None else [second], lines)
        dimension = header[1] if header else len(first[1].split(" ")) - 1
        if dimension < 1:
            raise ValueError(
                f"{path}, line 1: {first[1][:60]!r} holds no word with numbers behind it, separated by single spaces; "
                "it is not a text file of word vectors. Binary word2vec files end in .bin."
            )
        found: dict[str, np.ndarray] = {}
        num_lines = 0
        for number, line in rows:
            num_lines += 1
            word, _, _ = line.partition(" ")
            if wanted is not None and word not in wanted:
                continue
            parts = line.rsplit(" ", dimension)  # GloVe has words with spaces in them
            if len(parts) != dimension + 1:
                raise ValueError(
                    f"{path}, line {number}: {len(parts) - 1} numbers where {dimension} were expected, so columns "
                    "would not match. The file was cut off or mixes dimensions; download it again."
                )
            if wanted is not None and parts[0] not in wanted:
                continue
            if "\ufffd" in parts[0]:
                skipped["word not UTF-8"] += 1
            elif parts[0] in found:
                skipped["repeated word"] += 1
            else:
                found[parts[0]] = _parse(parts[1:], path, number)
        if header and num_lines != header[0]:
            raise ValueError(
                f"{path} announces {header[0]:,} words and holds {num_lines:,}: it was cut off, or its header is "
                "wrong. Download it again, or correct the first line."
            )
    matrix = np.stack(list(found.values())) if found else np.zeros((0, dimension), np.float32)
    return Loaded(list(found), matrix, dict(skipped))


def open_vectors(path: str) -> IO[bytes]:
    """The file's bytes, decompressed where its name ends in .gz."""
    if path.endswith(".gz"):
        return cast(IO[bytes], gzip.open(path, "rb"))
    return pathlib.Path(path).open("rb")


def _lines(file: IO[bytes], path: str) -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of each line that is not blank."""
    number = 0
    try:
        while raw := file.readline(_MAX_LINE_BYTES):
            number += 1
            if len(raw) == _MAX_LINE_BYTES:
                raise ValueError(
                    f"{path}, line {number} is longer than {_MAX_LINE_BYTES:,} bytes: this is no text file of word "
                    "vectors. Binary word2vec files end in .bin."
                )
            # Only what ends a line here: some vocabularies hold Unicode's other line and space characters as words.
            if text := raw.decode("utf-8", "replace").rstrip(" \r\n\t"):
                yield number, text
    except (EOFError, gzip.BadGzipFile) as e:
        raise ValueError(f"{path}, after line {number}: damaged gzip ({e}). Download it again.") from e


def _header(first: tuple[int, str], second: tuple[int, str] | None) -> tuple[int, int] | None:
    """(n, D) if the first line says so: two whole numbers, above a line of D numbers."""
    fields = first[1].split(" ")
    if len(fields) != 2 or not all(field.isascii() and field.isdigit() for field in fields):
        return None
    count, dimension = int(fields[0]), int(fields[1])
    # A word that is a number, with a vector of one number, looks like a header, but not above such a line.
    if second is not None and len(second[1].split(" ")) == 2 and dimension != 1:
        return None
    return count, dimension


def _parse(numbers: list[str], path: str, line: int) -> np.ndarray:
    try:
        return np.array(numbers, np.float32)
    except ValueError as e:
        raise ValueError(
            f"{path}, line {line}: {e}. Every column behind the word must be a number, separated by single spaces."
        ) from e
