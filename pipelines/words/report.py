"""The report of a study: one HTML page in the look of the main report, its figures beside it as PNG and SVG."""

import pathlib

from keytokens.pipelines.figures import files
from keytokens.pipelines.report import page
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number
from keytokens.pipelines.words import pictures, sections
from keytokens.pipelines.words.findings import Findings

REPORT = "report.html"


def write_report(directory: pathlib.Path, found: Findings, reference: str) -> None:
    """Writes report.html and the figures."""
    drawn = pictures.draw(found)
    for name, figure in drawn.items():
        files.write(directory / name, figure)
    (directory / REPORT).write_text(render(found, reference, drawn), "utf-8")


def render(found: Findings, reference: str, drawn: pictures.Pictures) -> str:
    """The page, a complete HTML5 document."""
    parts: list[tuple[str, str, Content]] = [
        ("claims", "What the paper claims", sections.claims(found, reference)),
        ("all-pairs", "All pairs", sections.all_pairs(found, drawn)),
    ]
    if found.has_bats:
        parts += [
            ("related", "Related against unrelated", sections.related(found, drawn)),
            ("analogies", "Analogies", sections.analogies(found, drawn)),
        ]
    if found.models[0].sets:
        parts.append(("people", "Against people's scores", sections.people(found)))
    if len(found.models) > 1:
        parts.append(("agreement", "Agreement", sections.agreement(found, reference, drawn)))
    if found.models[0].neighbours:
        parts.append(("neighbours", "Neighbours", sections.neighbours(found)))
    parts.append(("method", "How it was measured", sections.method(found)))
    title = f"Words by {', '.join(model.name for model in found.models[:4])}"
    body = tag(
        "body",
        tag("a", "Skip to the claims", href="#claims", class_="skip"),
        _headline(title, found),
        page.contents(parts),
        tag("main", [page.section(*part) for part in parts]),
    )
    return page.document(title, body)


def _headline(title: str, found: Findings) -> Html:
    facts = [
        ("Words", f"{number(found.num_words)} listed, {number(found.num_common)} common to all models"),
        ("Models", ", ".join(f"{model.name} ({model.kind}, D = {model.dimension})" for model in found.models)),
        ("Pairs", f"{number(max(model.all_pairs['own'].num_pairs for model in found.models))}, each of them compared"),
    ]
    return tag(
        "header",
        tag("p", "Keytokens", class_="brand"),
        tag("h1", title),
        tag(
            "p",
            "Do LLM embeddings of words offer something new? The study of ",
            tag("em", "Word Embeddings Revisited"),
            " (arXiv 2402.11094), run on these models.",
            class_="lead",
        ),
        tag("dl", [[tag("dt", name), tag("dd", value)] for name, value in facts], class_="facts"),
    )
