"""What does a store belong to? One model, prompt, maximum length, k and corpus; another run is refused."""

import hashlib
from collections.abc import Mapping
from typing import Any

from keytokens.pipelines import store
from keytokens.pipelines.store import files as store_files

MANIFEST_KEY = "keytokens"
# What a model is called says where it was found, not what it is: its files' digests do.
_NAMES_ONLY = ("model.name", "model.revision", "backbone.name", "backbone.revision")


class ForeignStoreError(ValueError):
    """The output exists and belongs to something else."""


def identity_sha256(identity: Mapping[str, Any]) -> str:
    """The digest that every unit's marker carries."""
    return hashlib.sha256(store_files.canonical_json(_essential(identity))).hexdigest()


def read_manifest(files: store_files.StoreFiles) -> dict[str, Any] | None:
    """The manifest of an existing store, or None where nothing has been written yet.

    Raises:
      ForeignStoreError: something else lies there, or a store of a schema version that this program does not know.
    """
    metadata = files.read_json("zarr.json")
    present = [] if metadata else files.keys("")
    if "zarr.json" in present:  # another run has begun the store since it was looked for
        metadata = files.read_json("zarr.json")
    if metadata is None:
        if strange := present[:3]:
            raise ForeignStoreError(
                f"--output={files.url} is not empty and is no store of ours (it holds {', '.join(strange)}); "
                "nothing was changed. Name another output, or empty it yourself."
            )
        return None
    manifest = metadata.get("attributes", {}).get(MANIFEST_KEY)
    if manifest is None:
        raise ForeignStoreError(
            f"--output={files.url} is a zarr group that Keytokens did not write; nothing was changed. "
            "Name another output."
        )
    if manifest["schema_version"] != store.SCHEMA_VERSION:
        raise ForeignStoreError(
            f"{files.url} has schema version {manifest['schema_version']}; this program reads and writes "
            f"{store.SCHEMA_VERSION}. Use the program version that wrote it ({manifest['program_version']})."
        )
    return manifest


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
