"""word2vec's binary format: "n D\\n", then n times a word, a space and D little-endian float32."""

import gzip
from collections import Counter
from collections.abc import Collection
from typing import IO

import numpy as np

from keytokens.pipelines.words.text_vectors import open_vectors
from keytokens.pipelines.words.vectors import Loaded

_MAX_HEADER_BYTES = 64
_MAX_WORD_BYTES = 4096
_MAX_DIMENSION = 65_536


def read_word2vec_binary(path: str, *, wanted: Collection[str] | None = None) -> Loaded:
    """Words and vectors of a .bin file; of a word that stands twice, the first. Memory holds wanted words only.

    Args:
      path: ends in .gz if it is gzipped.
      wanted: words to keep; by default all.

    Raises:
      ValueError: not such a file, or cut off; names the word's number.
    """
    skipped: Counter[str] = Counter()
    found: dict[str, np.ndarray] = {}
    try:
        with open_vectors(path) as file:
            count, dimension = _header(file, path)
            for number in range(1, count + 1):
                word = _word(file, path, number)
                values = file.read(4 * dimension)
                if len(values) != 4 * dimension:
                    raise ValueError(
                        f"{path}, word {number:,} of {count:,}: the file ends inside its vector. It was cut off, or "
                        "its header is wrong; download it again."
                    )
                if wanted is not None and word not in wanted:
                    continue
                if "\ufffd" in word:
                    skipped["word not UTF-8"] += 1
                elif word in found:
                    skipped["repeated word"] += 1
                else:
                    found[word] = np.frombuffer(values, "<f4").astype(np.float32)
            if file.read(2) not in (b"", b"\n"):
                raise ValueError(
                    f"{path} goes on after the {count:,} words that its header announces: the header is wrong, and so "
                    "may be every vector. Download it again."
                )
    except (EOFError, gzip.BadGzipFile) as e:
        raise ValueError(f"{path}: damaged gzip ({e}). Download it again.") from e
    matrix = np.stack(list(found.values())) if found else np.zeros((0, dimension), np.float32)
    return Loaded(list(found), matrix, dict(skipped))


def _header(file: IO[bytes], path: str) -> tuple[int, int]:
    line = file.readline(_MAX_HEADER_BYTES)
    fields = line.split()
    if not line.endswith(b"\n") or len(fields) != 2 or not all(field.isdigit() for field in fields):
        raise ValueError(
            f"{path} begins with {line[:24]!r}, but binary word2vec begins with a line of two whole numbers, how many "
            "words and how many dimensions. Text files of vectors end in .txt or .vec; fastText's own .bin models are "
            "another format: export them to .vec."
        )
    count, dimension = int(fields[0]), int(fields[1])
    if not 1 <= dimension <= _MAX_DIMENSION:
        raise ValueError(
            f"{path} announces {dimension:,} dimensions; 1 to {_MAX_DIMENSION:,} are read. It is damaged, or "
            "another format."
        )
    return count, dimension


def _word(file: IO[bytes], path: str, number: int) -> str:
    """Bytes up to the next space; some writers end the vector before it with a newline."""
    letters = bytearray()
    while (letter := file.read(1)) != b" ":
        if not letter or len(letters) == _MAX_WORD_BYTES:
            raise ValueError(
                f"{path}, word {number:,}: no space within {_MAX_WORD_BYTES:,} bytes ends it. The file was cut off, or "
                "its dimensions are not those of its header; download it again."
            )
        letters += letter
    return letters.lstrip(b"\n").decode("utf-8", "replace")
