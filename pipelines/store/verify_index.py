"""Are the bytes of a store's inverted index whole, and are they an inverted index?

F columns, P postings, N rows. Reads X_T in pieces of a shard; a shard that is absent would read as zeros.
"""

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from keytokens.pipelines.store import arrays, reader
from keytokens.pipelines.store import files as store_files
from keytokens.pipelines.store.damage import Damage

GROUP = "X_T"
_PARTS = ("data", "indices", "indptr")
_UNREADABLE = (ValueError, OSError, EOFError, zlib.error)
_DTYPES = {"data": ("float32", "uint8"), "indices": ("int32",), "indptr": ("int64",)}


def damage(store: reader.StoreReader) -> Iterator[Damage]:
    """What is wrong, one by one; nothing where there is no index, or a whole one."""
    # Without its group there is no index, and build_index makes one.
    yield from (Damage(what, remove=(f"{GROUP}/zarr.json",), by_index=True) for what in _wrong(store))


def _wrong(store: reader.StoreReader) -> Iterator[str]:
    keys = set(store.files.keys(f"{GROUP}/"))
    if f"{GROUP}/zarr.json" not in keys:
        return  # never built, or not to its end: build_index resumes
    try:
        group = store.files.read_json(f"{GROUP}/zarr.json")
        num_rows, num_columns = (int(size) for size in group["attributes"]["shape"])  # type: ignore[index]
    except (store_files.NotJsonError, KeyError, TypeError, ValueError) as error:
        yield f"{GROUP}: {GROUP}/zarr.json does not say the index's shape ({error!r})"
        return
    opened: dict[str, Any] = {}
    for name in _PARTS:
        path = f"{GROUP}/{name}"
        try:
            opened[name] = arrays.open_array(store.files, path)
        except _UNREADABLE as error:
            yield f"{path}: cannot be opened ({error})"
            continue
        if opened[name].dtype.name not in _DTYPES[name] or opened[name].rank != 1:
            yield f"{path}: {opened[name].dtype.name} {opened[name].shape} is no part of an index"
            del opened[name]
    if len(opened) < len(_PARTS):
        return
    try:
        pointers = np.asarray(opened["indptr"].read().result())
    except _UNREADABLE as error:
        yield f"{GROUP}/indptr: {error}"
        return
    num_postings = opened["indices"].shape[0]
    if (
        len(pointers) != num_columns + 1
        or pointers[0] != 0
        or pointers[-1] != num_postings
        or (np.diff(pointers) < 0).any()
    ):
        yield f"{GROUP}/indptr: pointers do not rise from 0 to the {num_postings} postings of {num_columns} columns"
        return
    if num_rows != store.dims.num_rows or opened["data"].shape != opened["indices"].shape:
        shape, num_impacts = [num_rows, num_columns], opened["data"].shape[0]
        yield f"{GROUP}: shape {shape} with {num_impacts} impacts for {num_postings} postings"
        return
    yield from _postings(keys, opened, pointers, num_rows)


def _postings(keys: set[str], opened: dict[str, Any], pointers: np.ndarray, num_rows: int) -> Iterator[str]:
    size = int(opened["indices"].chunk_layout.write_chunk.shape[0])
    for number, start in enumerate(range(0, int(pointers[-1]), size)):
        end = min(start + size, int(pointers[-1]))
        where = f"postings {start} to {end - 1}"
        read = {}
        for name in ("indices", "data"):
            key = f"{GROUP}/{name}/c/{number}"
            if key not in keys:
                yield f"{GROUP}/{name}, {where}: the file {key} is missing"
                continue
            try:
                read[name] = np.asarray(opened[name][start:end].read().result())
            except _UNREADABLE as error:
                yield f"{GROUP}/{name}, {where}: {error}"
        if "indices" in read:
            rows = read["indices"]
            first = np.zeros(len(rows) + 1, bool)  # of a column: the row may be lower than the one before
            inside = pointers[(pointers >= start) & (pointers < end)] - start
            first[inside] = True
            falls = (np.diff(rows) <= 0) & ~first[1:-1]
            if falls.any() or (rows < 0).any() or (rows >= num_rows).any():
                yield f"{GROUP}/indices, {where}: rows do not ascend within 0 to {num_rows - 1} in every list"
        if "data" in read and not (np.isfinite(read["data"]).all() and (read["data"] > 0).all()):
            yield f"{GROUP}/data, {where}: an impact is not positive and finite"
