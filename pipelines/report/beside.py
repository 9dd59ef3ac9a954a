"""Other models on the same texts, as part of a page: what each was found to do, set beside the page's own model."""

from collections.abc import Mapping, Sequence
from typing import Any

from keytokens.pipelines.report import alignment, findings, overview, provenance, spectra
from keytokens.pipelines.report.data import KeyToken, ReportData
from keytokens.pipelines.report.figures import table
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import percent

# Row of the table -> where measure_alignment's JSON has it: against which tokens, which metric.
_COMPARED = {
    "the text's own tokens": ("own", "hit"),
    "its content tokens": ("content", "hit"),
    "another text's content tokens": ("shuffled_content", "hit"),
    "LAR": ("own", "lar"),
    "GAR": ("own", "gar"),
}


def sections(data: ReportData) -> list[tuple[str, str, Content]]:
    """(identifier, heading, content) of each model beside the page's own."""
    own, *names = overview.model_names(data)
    return [
        (f"beside-{place}", f"Beside it: {name}", _section(data, other, (own, name), f"beside-{place}-"))
        for place, (name, other) in enumerate(zip(names, data.beside, strict=True), start=1)
    ]


def key_tokens(data: ReportData) -> dict[int, list[tuple[str, Sequence[KeyToken]]]]:
    """Row -> (model, key tokens), the page's own model first, of the texts that another store shows, too."""
    own, *names = overview.model_names(data)
    found: dict[int, list[tuple[str, Sequence[KeyToken]]]] = {}
    shown = {example.row: example for example in data.examples}
    for name, other in zip(names, data.beside, strict=True):
        for example in other.examples:
            if example.row in shown:
                first = (own, shown[example.row].key_tokens)
                found.setdefault(example.row, [first]).append((name, example.key_tokens))
    return found


def _section(data: ReportData, other: ReportData, names: tuple[str, str], prefix: str) -> Html:
    parts: list[tuple[str, Content]] = [
        ("What was found of it", findings.findings_section(other)),
        ("Alignment, side by side", _alignment(data.alignment, other.alignment, names)),
        ("Its spectrum", spectra.spectrum_section(other.spectra, prefix=prefix)),
    ]
    if other.adjustment is not None:
        parts.append(("Its adjusted backbone", alignment.adjustment_section(other.adjustment, prefix=prefix)))
    if other.trajectory:
        parts.append(("Along its training", spectra.trajectory_section(other.trajectory, prefix=prefix)))
    manifest = tag("details", tag("summary", "Its manifest"), provenance.manifest_section(other.manifest))
    return tag(
        "div",
        overview.facts(other),
        [[tag("h3", heading), content] for heading, content in parts],
        manifest,
        class_="beside",
    )


def _alignment(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None, names: tuple[str, str]) -> Content:
    pair = (one, other)
    if all(found is None for found in pair):
        return tag("p", "Not measured: neither store holds the texts' own tokens.", class_="empty")
    rows: list[list[Content]] = []
    for name, (against, metric) in _COMPARED.items():
        heading = [_hit(pair), tag("small", name)] if metric == "hit" else name
        rows.append([heading, *(_cell(found, against, metric) for found in pair)])
    rows.append(["Stop words and punctuation among key tokens", *map(_stop_share, pair)])
    return [
        table(("", *(tag("bdi", name) for name in names)), rows, caption=f"Alignment of {names[0]} and {names[1]}"),
        tag("p", "Each model is measured in tokens of its own tokenizer: LAR and GAR are shares of different tokens.",
            class_="aside"),
    ]  # fmt: skip


def _hit(pair: Sequence[Mapping[str, Any] | None]) -> str:
    """Hit@10, or both where one store keeps fewer."""
    places = dict.fromkeys(str(found["metrics"]["own"]["hit_at"]) for found in pair if found is not None)
    return " and ".join(f"Hit@{k}" for k in places)


def _cell(found: Mapping[str, Any] | None, against: str, metric: str) -> Content:
    return "—" if found is None else alignment.interval(found["metrics"][against][metric])


def _stop_share(found: Mapping[str, Any] | None) -> Content:
    shares = [] if found is None else [found["class_shares"][name]["estimate"] for name in ("stop_word", "punctuation")]
    return percent(sum(shares)) if shares and None not in shares else "—"
