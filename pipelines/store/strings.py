"""Text columns: zarr v3 `string` arrays with the `vlen-utf8` codec, as AnnData and zarr-python read them.

TensorStore 0.1 has no string type, so the chunks are encoded here: a little-endian count, then each string's byte
length and UTF-8 bytes; gzip (with its own CRC-32, and no time stamp: equal columns are equal bytes) compresses them.
"""

import gzip
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from keytokens.pipelines.store import files as store_files

_COUNT = struct.Struct("<I")


def create_column(files: store_files.StoreFiles, path: str, *, num_rows: int, chunk_rows: int) -> None:
    """Writes the metadata of a string array; chunks are written by `write_chunk`."""
    files.write_json(f"{path}/zarr.json", column_metadata(num_rows=num_rows, chunk_rows=chunk_rows))


def column_metadata(*, num_rows: int, chunk_rows: int) -> dict[str, Any]:
    """What the zarr.json of a string array says."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [num_rows],
        "data_type": "string",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [chunk_rows]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "",
        "codecs": [{"name": "vlen-utf8"}, {"name": "gzip", "configuration": {"level": 1}}],
        "attributes": {"encoding-type": "string-array", "encoding-version": "0.2.0"},
    }


def write_chunk(
    files: store_files.StoreFiles, path: str, index: int, values: Sequence[str], *, chunk_rows: int
) -> None:
    """Writes chunk `index`; a last chunk that is not full is padded with empty strings, as zarr wants."""
    encoded = [value.encode("utf-8") for value in values] + [b""] * (chunk_rows - len(values))
    parts = [_COUNT.pack(len(encoded))]
    for item in encoded:
        parts += [_COUNT.pack(len(item)), item]
    files.write(f"{path}/c/{index}", gzip.compress(b"".join(parts), compresslevel=1, mtime=0))


def write_column(files: store_files.StoreFiles, path: str, values: Sequence[str]) -> None:
    """Writes a whole column in one chunk."""
    chunk_rows = max(1, len(values))
    create_column(files, path, num_rows=len(values), chunk_rows=chunk_rows)
    write_chunk(files, path, 0, values, chunk_rows=chunk_rows)


def read_column(files: store_files.StoreFiles, path: str) -> Iterator[str]:
    """The strings in order, a chunk in memory at a time.

    Raises:
      ValueError: the column or one of its chunks does not exist, or is damaged.
    """
    metadata = files.read_json(f"{path}/zarr.json")
    if metadata is None:
        raise ValueError(f"{files.url} has no column {path}; it is not a store of ours, or its run never started.")
    try:
        (num_rows,) = metadata["shape"]
        (chunk_rows,) = metadata["chunk_grid"]["configuration"]["chunk_shape"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{files.url}: {path}/zarr.json describes no column ({error!r}), so its rows cannot be told apart. "
            "inspect_store --verify says what mends it."
        ) from error
    for index, start in enumerate(range(0, num_rows, chunk_rows)):
        yield from read_chunk(files, path, index)[: num_rows - start]


def read_chunk(files: store_files.StoreFiles, path: str, index: int) -> list[str]:
    """All strings of one chunk, padding included.

    Raises:
      ValueError: the chunk does not exist, or does not hold what its lengths say. Of gzip also OSError, EOFError and
        zlib.error, where its bytes are damaged.
    """
    stored = files.read(f"{path}/c/{index}")
    if stored is None:
        raise ValueError(
            f"{files.url}: chunk {index} of {path} is missing; the run that wrote this store did not finish."
        )
    data = gzip.decompress(stored)
    try:
        return _decode(data)
    except (struct.error, ValueError) as error:
        raise ValueError(
            f"{files.url}: chunk {index} of {path} is no list of strings ({error}), so its rows are lost. "
            "inspect_store --verify says what to delete before the next launch, which writes it anew."
        ) from error


def _decode(data: bytes) -> list[str]:
    (count,) = _COUNT.unpack_from(data)
    position = _COUNT.size
    values = []
    for _ in range(count):
        (size,) = _COUNT.unpack_from(data, position)
        position += _COUNT.size
        values.append(data[position : position + size].decode("utf-8"))
        position += size
    if position != len(data):
        raise ValueError(f"its lengths make {position} bytes, it has {len(data)}")
    return values
