"""The report as one HTML page: one script of its own, no request to anywhere, by day and night, on paper and phone."""

from collections.abc import Sequence

from keytokens.pipelines.report import (
    alignment,
    beside,
    findings,
    overview,
    provenance,
    script,
    spectra,
    text_table,
    vocabulary,
)
from keytokens.pipelines.report.data import ReportData
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.style import STYLE

# The browser itself refuses whatever a report should never do: load, connect, run any script but its own.
_POLICY = (
    f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{script.SHA256}'; base-uri 'none'; "
    "form-action 'none'"
)


def render(data: ReportData) -> str:
    """The page, a complete HTML5 document that encodes as UTF-8 whatever the data holds.

    Raises:
      ValueError: spans of an example that overlap or leave its text.
    """
    counts = data.manifest.get("counts")
    embedded = counts.get("embedded", len(data.examples)) if isinstance(counts, dict) else len(data.examples)
    sections: list[tuple[str, str, Content]] = [
        ("findings", "What was found", findings.findings_section(data)),
        (
            "texts",
            "Texts and their key tokens",
            text_table.text_section(data.examples, embedded, beside.key_tokens(data)),
        ),
        ("alignment", "Alignment", alignment.alignment_section(data.alignment)),
        ("hubs", "Hub tokens", vocabulary.hubs_section(data)),
        ("histograms", "Tokens and weights", vocabulary.histograms_section(data)),
        ("spectrum", "Spectrum", spectra.spectrum_section(data.spectra)),
    ]
    if data.adjustment is not None:
        sections.append(("adjustment", "The adjusted backbone", alignment.adjustment_section(data.adjustment)))
    if data.trajectory:
        sections.append(("trajectory", "Along the training", spectra.trajectory_section(data.trajectory)))
    sections += [
        *beside.sections(data),
        (
            "dead-letters",
            "Dead letters and truncation",
            provenance.dead_letters_section(data.dead_letters, data.dead_letter_counts, counts),
        ),
        ("manifest", "Manifest", provenance.manifest_section(data.manifest)),
    ]
    body = tag(
        "body",
        tag("a", "Skip to the findings", href="#findings", class_="skip"),
        overview.headline(data),
        contents(sections),
        tag("main", overview.tiles(data), [section(*each) for each in sections]),
        tag("script", Html(script.SCRIPT)),
    )
    return document(data.title, body)


def document(title: str, body: Html) -> str:
    """A complete HTML5 document in the look of a report."""
    return f"<!DOCTYPE html>\n{tag('html', _head(title), body, lang='en')}\n"


def contents(sections: Sequence[tuple[str, str, Content]]) -> Html:
    """Links to the sections: (identifier, heading, content) each."""
    return tag("nav", [tag("a", name, href=f"#{key}") for key, name, _ in sections], aria_label="Sections")


def section(key: str, name: str, content: Content) -> Html:
    """A section under its heading."""
    return tag("section", tag("h2", name, id=f"{key}-title"), content, id=key, aria_labelledby=f"{key}-title")


def _head(title: str) -> Html:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(STYLE)),
    )
