"""Does a store's metadata say what its schema says? Without it zarr finds no group, or reads an array as another."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tensorstore as ts

from keytokens.pipelines.store import arrays, schema, strings, token_column
from keytokens.pipelines.store import files as store_files
from keytokens.pipelines.store.damage import Damage


def groups_and_columns(files: store_files.StoreFiles, dims: schema.Dimensions) -> Iterator[Damage]:
    """What is wrong with the groups and the string columns; every launch writes both anew."""
    groups = {"": {}, **schema.groups(dims)}  # the root's attributes, the manifest, have been read
    if dims.has_text_tokens:
        groups[token_column.GROUP] = schema.MAPPING
    due = {path: arrays.group_metadata(attributes) for path, attributes in groups.items()}
    columns = {schema.DOC_ID: (dims.num_rows, dims.shard_rows), schema.TOKEN: (dims.vocab_size, dims.vocab_size)}
    if dims.has_text_tokens:
        columns[schema.TEXT_TOKENS] = columns[schema.DOC_ID]
    due |= {
        path: strings.column_metadata(num_rows=num_rows, chunk_rows=chunk_rows)
        for path, (num_rows, chunk_rows) in columns.items()
    }
    for path, metadata in due.items():
        key = f"{path}/zarr.json".lstrip("/")
        try:
            difference = _difference(files.read_json(key), metadata)
            if path == token_column.GROUP and not difference:
                token_column.read_special(files)
        except store_files.NotJsonError:
            difference = "it is not JSON"
        except ValueError as error:
            difference = str(error)
        if difference:
            yield Damage(f"{path or '/'}: {key}: {difference}")


def open_arrays(
    files: store_files.StoreFiles, specs: Iterable[arrays.ArraySpec]
) -> tuple[dict[str, ts.TensorStore], list[Damage]]:
    """The arrays that are laid out as they must be, open, and what is wrong with the others.

    A launch creates an array whose metadata is not there, and refuses one whose metadata says something else.
    """
    opened, damaged = {}, []
    for spec in specs:
        try:
            opened[spec.path] = arrays.open_as(files, spec)
        except ValueError as error:
            key, said = f"{spec.path}/zarr.json", str(error).partition(" [tensorstore_spec=")[0]
            remove = () if files.read(key) is None else (key,)
            damaged.append(Damage(f"{spec.path}: cannot be opened ({said})", remove))
    return opened, damaged


def _difference(stored: Any, due: Mapping[str, Any]) -> str:
    """Where what is stored says something else than what is due, which may say less; "" where it does not."""
    if stored is None:
        return "the file is missing"
    if not isinstance(stored, Mapping):
        return f"{stored!r:.40}, where {due!r:.80} is due"
    for name, value in due.items():
        if name == "attributes":
            if difference := _difference(stored.get(name, {}), value):
                return difference
        elif stored.get(name) != value:
            return f"{name} is {stored.get(name)!r}, where {value!r} is due"
    return ""
