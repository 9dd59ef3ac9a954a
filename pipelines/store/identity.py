"""What does a store belong to? One model, prompt, maximum length, k and corpus; another run is refused."""

import hashlib
from collections.abc import Mapping
from typing import Any

from keytokens.pipelines import store
from keytokens.pipelines.store import files as store_files

MANIFEST_KEY = "keytokens"
MANIFEST_FILE = "zarr.json"
_UNCHANGED = "; nothing was changed"
# What a model is called says where it was found, not what it is: its files' digests do.
_NAMES_ONLY = ("model.name", "model.revision", "backbone.name", "backbone.revision")


class ForeignStoreError(ValueError):
    """The output exists and belongs to something else."""


def identity_sha256(identity: Mapping[str, Any]) -> str:
    """The digest that every unit's marker carries."""
    return hashlib.sha256(store_files.canonical_json(_essential(identity))).hexdigest()


def read_manifest(files: store_files.StoreFiles, *, to_write: bool = True) -> dict[str, Any] | None:
    """The manifest of an existing store, or None where nothing has been written yet.

    Args:
      files: of the store.
      to_write: it is a program's --output; messages speak of it as that, else of a store that was named to be read.

    Raises:
      ForeignStoreError: something else lies there, a store of a schema version that this program does not know, or one
        whose manifest is damaged.
    """
    try:
        metadata = files.read_json(MANIFEST_FILE)
        present = [] if metadata else files.keys("")
        if MANIFEST_FILE in present:  # another run has begun the store since it was looked for
            metadata = files.read_json(MANIFEST_FILE)
    except store_files.NotJsonError as error:
        raise damaged_manifest(files, str(error.__cause__), to_write=to_write) from error
    if metadata is None:
        if strange := present[:3]:
            what = f"is not empty and is no store of ours (it holds {', '.join(strange)})"
            raise _foreign(files, what, to_write=to_write)
        return None
    attributes = metadata.get("attributes", {}) if isinstance(metadata, Mapping) else None
    if not isinstance(attributes, Mapping):
        raise damaged_manifest(files, f"{metadata!r:.40} is no zarr group", to_write=to_write)
    manifest = attributes.get(MANIFEST_KEY)
    if manifest is None:
        what = f"is a zarr {metadata.get('node_type', 'group')} that Keytokens did not write"
        raise _foreign(files, what, to_write=to_write)
    if not isinstance(manifest, dict) or "schema_version" not in manifest:
        raise damaged_manifest(files, "it has no schema_version", to_write=to_write)
    if manifest["schema_version"] != store.SCHEMA_VERSION:
        raise ForeignStoreError(
            f"{files.url} has schema version {manifest['schema_version']}; this program reads and writes "
            f"{store.SCHEMA_VERSION}. Use the program version that wrote it ({manifest.get('program_version')})."
        )
    if lost := [part for part in ("identity", "dimensions") if not isinstance(manifest.get(part), Mapping)]:
        raise damaged_manifest(files, f"it has no {' and no '.join(lost)}", to_write=to_write)
    return manifest


def damaged_manifest(files: store_files.StoreFiles, what: str, *, to_write: bool) -> ForeignStoreError:
    """The error of a store whose manifest cannot be read. No launch mends that."""
    return ForeignStoreError(
        f"{_called(files, to_write)}: the manifest, {MANIFEST_FILE}, is damaged ({what}), so what the store belongs to "
        f"is unknown{_UNCHANGED if to_write else ''}. Put a copy of that file back, and launch the program that wrote "
        "the store again with the same flags. It writes such a copy when it starts: start it into another --output, "
        "stop it, and take that one. Or delete the directory."
    )


def _foreign(files: store_files.StoreFiles, what: str, *, to_write: bool) -> ForeignStoreError:
    if to_write:
        cure = f"{_UNCHANGED}. Name another output, or empty this one yourself."
    else:
        cure = ", so there is no store to read. Name the directory that was the --output of align_corpus, itself."
    return ForeignStoreError(f"{_called(files, to_write)} {what}{cure}")


def _called(files: store_files.StoreFiles, to_write: bool) -> str:
    return f"--output={files.url}" if to_write else files.url


def check_same_run(url: str, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuses to resume a store of another identity.

    Raises:
      ForeignStoreError: lists every field that differs, with both values.
    """
    before, now = _essential(stored), _essential(asked)
    differing = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    if differing:
        lines = [f"  {name}: stored {before.get(name)!r}, asked for {now.get(name)!r}" for name in differing]
        raise ForeignStoreError(
            f"--output={url} belongs to another run; its rows and new ones must not be mixed, so nothing was changed. "
            "They differ in\n" + "\n".join(lines) + "\nName another --output, or pass --overwrite to delete this store."
        )


def _essential(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in _flat(identity).items() if name not in _NAMES_ONLY}


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {name: value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= _flat(item, f"{name}.{key}" if name else key)
    return found
