"""The page, and its figures beside it as PNG and SVG."""

import pathlib

from keytokens.pipelines.figures import files
from keytokens.pipelines.report import page
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number
from keytokens.pipelines.words import pictures
from keytokens.pipelines.words.findings import Findings
from keytokens.pipelines.words.report import agreement, analogies, claims, method, pairs

REPORT = "report.html"


def write_report(directory: pathlib.Path, found: Findings, reference: str) -> None:
    """Writes report.html and the figures."""
    drawn = pictures.draw(found)
    for name, figure in drawn.items():
        files.write(directory / name, figure)
    (directory / REPORT).write_text(render(found, reference, drawn), "utf-8")


def render(found: Findings, reference: str, drawn: pictures.Pictures) -> str:
    """The page, a complete HTML5 document."""
    sections: list[tuple[str, str, Content]] = [
        ("claims", "What the paper claims", claims.section(found, reference)),
        ("all-pairs", "All pairs", pairs.all_pairs(found, drawn)),
    ]
    if found.has_bats:
        sections += [
            ("related", "Related against unrelated", pairs.related(found, drawn)),
            ("analogies", "Analogies", analogies.section(found, drawn)),
        ]
    if found.models[0].sets:
        sections.append(("people", "Against people's scores", pairs.people(found)))
    if len(found.models) > 1:
        sections.append(("agreement", "Agreement", agreement.section(found, drawn)))
    if found.models[0].neighbours:
        sections.append(("neighbours", "Neighbours", agreement.neighbours(found)))
    sections.append(("method", "How it was measured", method.section(found)))
    title = f"Words by {', '.join(model.name for model in found.models[:4])}"
    body = tag(
        "body",
        tag("a", "Skip to the claims", href="#claims", class_="skip"),
        _headline(title, found),
        page.contents(sections),
        tag("main", [page.section(*each) for each in sections]),
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
