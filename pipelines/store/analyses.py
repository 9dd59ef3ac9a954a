"""Results of the analyses, kept beside the store they are of, so that a report can show them: run/analyses/."""

from typing import Any

from keytokens.pipelines import results
from keytokens.pipelines.store import files as store_files

_FOLDER = "run/analyses"
NAMES = ("alignment", "spectra", "adjustment", "trajectory")


def write(files: store_files.StoreFiles, name: str, found: Any) -> None:
    """Keeps a result under its name; a later one replaces it."""
    assert name in NAMES, name
    files.write(f"{_FOLDER}/{name}.json", results.text(found).encode())


def read(files: store_files.StoreFiles, name: str) -> Any | None:
    """The result, or None where that analysis has not been run."""
    assert name in NAMES, name
    return files.read_json(f"{_FOLDER}/{name}.json")
