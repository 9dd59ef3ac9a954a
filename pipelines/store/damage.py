"""What is wrong with a store, and what mends it? A launch writes anew whatever is not there or not marked done."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from keytokens.pipelines.store import run_state


@dataclasses.dataclass(frozen=True)
class Damage:
    """One thing that is wrong.

    Attributes:
      what: where and what, a line.
      remove: the keys that must be gone, for the next launch to write anew what is damaged.
      by_index: whether build_index writes it; everything else is written by the run of the store.
    """

    what: str
    remove: tuple[str, ...] = ()
    by_index: bool = False


def cure(found: Iterable[Damage], manifest: Mapping[str, Any]) -> dict[str, list[str]]:
    """Program to launch again with the same flags -> keys to delete before; programs in the order of launching."""
    run = "adjust_component" if "adjustment" in manifest["identity"] else "align_corpus"
    keys: dict[str, set[str]] = {}
    for damage in sorted(found, key=lambda one: one.by_index):
        keys.setdefault("build_index" if damage.by_index else run, set()).update(damage.remove)
    return {program: sorted(remove) for program, remove in keys.items()}


def render_cure(cure: Mapping[str, list[str]]) -> list[str]:
    """The same as lines for people; none where nothing is damaged."""
    lines = []
    for program, remove in cure.items():
        if remove:
            lines += [f"to mend it, delete these files, then launch {program} again with the same flags:"]
            lines += [f"  {key}" for key in remove]
        else:
            lines.append(f"to mend it, launch {program} again with the same flags; nothing need be deleted")
    if any(key.startswith(run_state.UNITS) for remove in cure.values() for key in remove):
        lines.append(
            "a launch that finds these markers takes their units for done and leaves the damage; report, analyses and "
            "index that were made of damaged rows must be made again"
        )
    if lines:
        lines.append("then verify again: rows are not checked where the metadata of their array is damaged")
    return lines
