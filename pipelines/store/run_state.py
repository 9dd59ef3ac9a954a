"""Which units are done, and what each of them counted. Markers are the truth: a shard's existence proves nothing."""

import dataclasses
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from keytokens.pipelines.store import files as store_files

UNITS = "run/units/"
_DEAD_LETTERS = "run/dead_letters/"
DUPLICATES = "duplicate_ids"  # the name of their dead letters
COMPLETED = "run/COMPLETED"
# Whatever else lies beside them, such as .DS_Store, is not ours to read.
_MARKER_NAME = re.compile(rf"{UNITS}([0-9]{{8,}})\.json")
_DEAD_LETTERS_NAME = re.compile(rf"{_DEAD_LETTERS}([0-9]{{8,}}|{DUPLICATES})\.jsonl")


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


def marker_key(unit: int) -> str:
    """Where a unit's marker lies. Once it is deleted, the next launch works the unit through again."""
    return f"{UNITS}{unit_name(unit)}.json"


def dead_letters_key(name: str) -> str:
    """Where the dead letters of a unit's name, or DUPLICATES, lie."""
    return f"{_DEAD_LETTERS}{name}.jsonl"


def read_marker(files: store_files.StoreFiles, unit: int, identity_sha256: str) -> UnitMarker | None:
    """The marker of a unit that this run, or an earlier start of it, has finished; else None.

    A marker that cannot be read proves nothing: its unit is not done, and the next launch writes both anew.
    """
    try:
        value = files.read_json(marker_key(unit))
    except store_files.NotJsonError:
        return None
    fields = {field.name: field.type for field in dataclasses.fields(UnitMarker)}
    if not isinstance(value, dict) or {name: type(part) for name, part in value.items()} != fields:
        return None
    marker = UnitMarker(**value)
    return marker if (marker.unit, marker.identity_sha256) == (unit, identity_sha256) else None


def write_marker(files: store_files.StoreFiles, marker: UnitMarker) -> None:
    """Marks a unit done; the last write of its work."""
    files.write_json(marker_key(marker.unit), dataclasses.asdict(marker))


def finished_units(files: store_files.StoreFiles) -> list[int]:
    """The indices that have a marker, whoever wrote it and whether or not it can be read; one listing, no reads."""
    found = [int(match[1]) for key in files.keys(UNITS) if (match := _MARKER_NAME.fullmatch(key))]
    return sorted(set(found))  # 000000001.json, which no run writes, would be a second 1


def write_dead_letters(files: store_files.StoreFiles, name: str, lines: Iterable[str]) -> None:
    """Writes the dead letters of a unit's name, or of DUPLICATES, one JSON object a line; no file where there are none.

    The file's bytes are held, which is a third of what as many lines in a list take.
    """
    key, listed = dead_letters_key(name), io.BytesIO()
    for line in lines:
        listed.write(line.encode() + b"\n")
    if listed.tell():
        files.write(key, listed.getvalue())
    else:
        files.delete(key)


def iterate_dead_letter_lines(files: store_files.StoreFiles, name: str) -> Iterator[bytes]:
    """The lines of one dead-letter file, each with its newline; none where there is no file."""
    # Not str.splitlines: a snippet may hold U+0085 or U+2028, at which it splits too.
    yield from io.BytesIO(files.read(dead_letters_key(name)) or b"")


def read_dead_letter_lines(files: store_files.StoreFiles, name: str) -> list[str]:
    """The same as `write_dead_letters` takes them."""
    return [line.decode().removesuffix("\n") for line in iterate_dead_letter_lines(files, name)]


def parse_dead_letter(line: bytes) -> dict[str, Any]:
    """What a line says.

    Raises:
      ValueError: it is no dead letter.
    """
    letter = json.loads(line)
    said = {"row": int, "file": str, "line": int, "kind": str, "reason": str}
    if not isinstance(letter, dict) or any(not isinstance(letter.get(name), kind) for name, kind in said.items()):
        raise ValueError(f"it does not say {', '.join(said)}")
    return letter


def iterate_dead_letters(files: store_files.StoreFiles, *, skip_unreadable: bool = False) -> Iterator[dict[str, Any]]:
    """Every dead letter of the store, in the order of the units, duplicates of an id last; one file in memory.

    Args:
      files: of the store.
      skip_unreadable: leave out what is no dead letter; for a caller that reports it otherwise.

    Raises:
      ValueError: a line is no dead letter.
    """
    for name in (match[1] for key in files.keys(_DEAD_LETTERS) if (match := _DEAD_LETTERS_NAME.fullmatch(key))):
        for number, line in enumerate(iterate_dead_letter_lines(files, name), 1):
            try:
                letter = parse_dead_letter(line)
            except ValueError as error:
                if skip_unreadable:
                    continue
                raise ValueError(
                    f"{files.url}: line {number} of {dead_letters_key(name)} is no dead letter ({error}); it was cut "
                    "or damaged, and why a row has no embedding is lost. inspect_store --verify says what to delete "
                    "before the next launch, which writes it anew."
                ) from error
            yield letter


class DeadLetterSummary(NamedTuple):
    """What people are shown of a store's dead letters.

    Attributes:
      kinds: how many of each.
      first: the first ones.
    """

    kinds: dict[str, int]
    first: list[dict[str, Any]]


def summarize_dead_letters(
    files: store_files.StoreFiles, num_first: int, *, skip_unreadable: bool = False
) -> DeadLetterSummary:
    """All of them counted, `num_first` of them kept; arguments and errors of `iterate_dead_letters`."""
    kinds: Counter[str] = Counter()
    first: list[dict[str, Any]] = []
    for letter in iterate_dead_letters(files, skip_unreadable=skip_unreadable):
        kinds[letter["kind"]] += 1
        if len(first) < num_first:
            first.append(letter)
    return DeadLetterSummary(dict(kinds), first)


def read_dead_letters(files: store_files.StoreFiles) -> list[dict[str, Any]]:
    """The same as a list; 1.3 KB each (measured), so for few of them."""
    return list(iterate_dead_letters(files))
