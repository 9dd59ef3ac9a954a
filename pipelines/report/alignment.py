"""Do texts align with their own tokens? Hit@K, LAR and GAR with their control, as part of a page."""

from collections.abc import Mapping
from typing import Any

from keytokens.pipelines.figures import adjustment as adjusted_pictures
from keytokens.pipelines.figures import alignment as pictures
from keytokens.pipelines.report.figures import drawn, table
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number, percent

_AGAINST = {
    "own": "the text's own tokens",
    "content": "its content tokens",
    "shuffled": "another text's tokens",
    "shuffled_content": "that text's content tokens",
}
_MEANING = {
    "hit": "texts that hold one of their own {k} best key tokens",
    "lar": "local alignment rate: share of a text's tokens found among as many key tokens",
    "gar": "global alignment rate: share of the corpus's tokens found so in some text",
}


def alignment_section(found: Mapping[str, Any] | None) -> Content:
    """The numbers with their intervals, what the best key tokens are, and the sweep over K."""
    if found is None:
        return tag("p", "Not measured: the store does not hold the texts' own tokens.", class_="empty")
    metrics = found["metrics"]
    if not metrics["own"]["num_texts"]:
        return tag("p", "No text has tokens.", class_="empty")
    k = metrics["own"]["hit_at"]
    rows = [
        [
            [f"Hit@{k}" if name == "hit" else name.upper(), tag("small", meaning.format(k=k))],
            *(interval(metrics[against][name]) for against in _AGAINST),
        ]
        for name, meaning in _MEANING.items()
    ]
    shares = sorted(found["class_shares"].items(), key=lambda item: -item[1]["estimate"])
    words = ", ".join(
        f"{name.replace('_', ' ')} {percent(one['estimate'])}" for name, one in shares if one["estimate"] > 0
    )
    incomplete = metrics["own"]["num_incomplete"]
    return [
        tag(
            "p",
            "The control compares every text's key tokens with the tokens of another text: what a model would get that "
            "says the same of every text. Content leaves out stop words, punctuation and pieces of them.",
        ),
        table(("", *_AGAINST.values()), rows, caption="Alignment"),
        tag("p", f"Of the {k} best key tokens: {words}.", class_="aside"),
        tag("p", f"{number(incomplete)} texts have more tokens than were kept: LAR and GAR are lower bounds.",
            class_="aside") if incomplete else None,
        tag("div", _sweep(found["sweep"]), class_="figures") if found.get("sweep") else None,
    ]  # fmt: skip


def interval(one: Mapping[str, Any]) -> Content:
    """An estimate, and the interval it has."""
    if one["estimate"] is None:
        return "—"
    if one["low"] is None:
        return number(one["estimate"])
    return [number(one["estimate"]), tag("small", f"{number(one['low'])} to {number(one['high'])}")]


def _sweep(rows: list[dict[str, Any]]) -> list[Html]:
    captions = {
        "hit": "How far down the list a text finds one of its own tokens. The distance between a line and its control "
        "is what the embedding says of the text itself.",
        "lar": "Share of a text's tokens found, with no key token past rank K.",
        "gar": "Share of the corpus's tokens found, with no key token past rank K.",
    }
    return [
        drawn(pictures.sweep(rows, metric=metric), f"alignment_{metric}", caption=caption, rows=[
            {"against": row["against"], "k": row["k"], metric: row[metric]} for row in rows
        ])
        for metric, caption in captions.items()
    ]  # fmt: skip


def adjustment_section(found: Mapping[str, Any], *, prefix: str = "") -> Html:
    """What the backbone says when its leading components move to where the embedder has them.

    Args:
      found: the JSON of adjust_component.
      prefix: sets figures apart from those of another model's section.
    """
    captions = {
        "content_hit": "The paper's claim: at 1, where the first component is the embedder's, the backbone says what "
        "the text is about.",
        "stop_share": "How much of what the backbone says is stop words and punctuation.",
        "lar": "Local alignment rate of the adjusted backbone.",
        "overlap": "How much of what the adjusted backbone says is what the embedder says.",
    }
    charts = []
    for metric, caption in captions.items():
        rows = [
            {name: row[name] for name in ("leading", "factor", "shift", metric, f"{metric}_low", f"{metric}_high")}
            for row in found["sweep"]
        ]
        picture = adjusted_pictures.curves(found["sweep"], metric, embedder=found["embedder"].get(metric))
        charts.append(drawn(picture, f"{prefix}adjustment_{metric}", caption=caption, rows=rows))
    return tag("div", charts, class_="figures")
