"""What did not come through, and what everything was made from: dead letters and manifest, readable."""

from collections.abc import Mapping, Sequence
from typing import Any

from keytokens.pipelines.report import downloads
from keytokens.pipelines.report.figures import table
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number

_DEAD_LETTER_COLUMNS = ("row", "file", "line", "kind", "reason", "snippet")
_SHOWN_ITEMS = 20


def dead_letters_section(
    letters: Sequence[Mapping[str, Any]], counts: Mapping[str, int], run: Mapping[str, Any] | None = None
) -> Content:
    """How many of each kind, the first few in full, and how many texts were cut, by the run's counts."""
    cut = run.get("truncated") if isinstance(run, Mapping) else None
    truncated = None
    if isinstance(cut, int):
        words = "No text was" if not cut else "One text was" if cut == 1 else f"{number(cut)} texts were"
        truncated = tag("p", f"{words} cut at the model's limit; what follows it says nothing here.")
    if not counts and not letters:
        return [tag("p", "No dead letters: every text of the corpus was embedded.", class_="empty"), truncated]
    kinds = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    by_kind = table(("kind", "rows"), [(_code(kind), number(count)) for kind, count in kinds], caption="Rows by kind")
    rows = [[_cell(letter.get(column)) for column in _DEAD_LETTER_COLUMNS] for letter in letters]
    total = sum(counts.values())
    more = f"The first {number(len(letters))} of {number(total)}:" if len(letters) < total else None
    listed = table(_DEAD_LETTER_COLUMNS, rows, caption="Dead letters") if rows else None
    files = (
        downloads.links("dead_letters", [dict(letter) for letter in letters], title="Dead letters") if letters else None
    )
    return [by_kind, tag("p", more) if more and rows else None, listed, files, truncated]


def manifest_section(manifest: Mapping[str, Any]) -> Html:
    """The manifest as nested lists, its long lists cut."""
    if not manifest:
        return tag("p", "The store has no manifest yet.", class_="empty")
    return _value(manifest)


def _value(value: Any) -> Html:
    if isinstance(value, Mapping) and value:
        return tag("dl", [[tag("dt", str(key)), tag("dd", _value(item))] for key, item in value.items()], class_="tree")
    if isinstance(value, list | tuple) and value:
        items = [tag("li", _value(item)) for item in value[:_SHOWN_ITEMS]]
        rest = len(value) - len(items)
        return tag("ul", items, tag("li", f"and {number(rest)} more") if rest else None, class_="tree")
    return _code(value)


def _cell(value: Any) -> Content:
    if isinstance(value, int) and not isinstance(value, bool):
        return number(value)
    return tag("bdi", str(value)) if value not in (None, "") else "—"


def _code(value: Any) -> Html:
    words = {None: "none", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return tag("span", words[value], class_="aside")
    if value == "" or isinstance(value, Mapping | list | tuple):
        return tag("span", "empty", class_="aside")
    return tag("code", str(value))
