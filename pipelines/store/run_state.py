"""Which units are done, and what each of them counted. Markers are the truth: a shard's existence proves nothing."""

import dataclasses
import json
from typing import Any

from keytokens.pipelines.store import files as store_files

_UNITS = "run/units/"
_DEAD_LETTERS = "run/dead_letters/"
COMPLETED = "run/COMPLETED"


@dataclasses.dataclass(frozen=True)
class UnitMarker:
    """Written when everything else of a unit is on disk. It holds nothing that two computations could disagree on.

    Attributes:
      unit: index.
      identity_sha256: of the run; a marker of another run does not count.
      rows: of the unit, dead letters included.
      dead_letters: rows without an embedding.
      truncated: rows whose text was longer than the model reads.
      tokens: of the texts, without prompt and special tokens.
      batch_tokens: positions that were computed, padding included.
      real_tokens: positions that were not padding.
    """

    unit: int
    identity_sha256: str
    rows: int
    dead_letters: int
    truncated: int
    tokens: int
    batch_tokens: int
    real_tokens: int


def unit_name(unit: int) -> str:
    """The fixed-width name under which a unit's files sort in its order."""
    return f"{unit:08d}"


def read_marker(files: store_files.StoreFiles, unit: int, identity_sha256: str) -> UnitMarker | None:
    """The marker of a unit that this run, or an earlier start of it, has finished; else None."""
    value = files.read_json(f"{_UNITS}{unit_name(unit)}.json")
    if value is None or value["identity_sha256"] != identity_sha256:
        return None
    return UnitMarker(**value)


def write_marker(files: store_files.StoreFiles, marker: UnitMarker) -> None:
    """Marks a unit done; the last write of its work."""
    files.write_json(f"{_UNITS}{unit_name(marker.unit)}.json", dataclasses.asdict(marker))


def finished_units(files: store_files.StoreFiles) -> list[int]:
    """The indices that have a marker, whoever wrote it; one listing, no reads."""
    return [int(key.removeprefix(_UNITS).removesuffix(".json")) for key in files.keys(_UNITS)]


def write_dead_letters(files: store_files.StoreFiles, name: str, lines: list[str]) -> None:
    """Writes the unit's dead letters, one JSON object a line; no file where there are none."""
    key = f"{_DEAD_LETTERS}{name}.jsonl"
    if lines:
        files.write(key, "".join(line + "\n" for line in lines).encode())
    else:
        files.delete(key)


def count_dead_letters(files: store_files.StoreFiles, unit: int) -> int:
    """How many dead letters the unit's file lists; 0 where there is none."""
    return (files.read(f"{_DEAD_LETTERS}{unit_name(unit)}.jsonl") or b"").count(b"\n")


def read_dead_letter_lines(files: store_files.StoreFiles, name: str) -> list[str]:
    """The lines of one dead-letter file, as `write_dead_letters` takes them."""
    return [line.decode() for line in (files.read(f"{_DEAD_LETTERS}{name}.jsonl") or b"").splitlines()]


def read_dead_letters(files: store_files.StoreFiles) -> list[dict[str, Any]]:
    """Every dead letter of the store, in the order of the units, duplicates of an id last."""
    # Not str.splitlines: a snippet may hold U+0085 or U+2028, at which it splits too.
    return [json.loads(line) for key in files.keys(_DEAD_LETTERS) for line in (files.read(key) or b"").splitlines()]
