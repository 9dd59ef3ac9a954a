"""What a checkpoint is made of, as SHA-256 sums: the same files give the same sums wherever they lie."""

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

_TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
)
_CHUNK_BYTES = 1 << 20


def sha256_of_files(files: Iterable[str | Path]) -> str:
    """The sum of one file; of several, the sum of a line "name sum" for each, sorted. Reads a MiB at a time."""
    paths = sorted(Path(file) for file in files)
    if len(paths) == 1:
        return _file_sum(paths[0])
    lines = sorted(f"{path.name} {_file_sum(path)}\n" for path in paths)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def tokenizer_files(directory: str | Path) -> list[Path]:
    """The files that decide how a checkpoint tokenises."""
    return [Path(directory) / name for name in _TOKENIZER_FILES if (Path(directory) / name).is_file()]


def _file_sum(path: Path) -> str:
    status = path.stat()
    return _remembered_sum(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _remembered_sum(path: Path, size_bytes: int, modified_ns: int) -> str:
    """Of a file that has not changed since: a run asks several times, and 7B parameters are 14 GB."""
    del size_bytes, modified_ns
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
