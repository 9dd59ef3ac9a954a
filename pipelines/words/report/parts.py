"""What the sections share: names, scopes, and figures with their numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from keytokens.pipelines.report import figures
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.words.findings import Findings
from keytokens.pipelines.words.material import COMMON, OWN
from keytokens.pipelines.words.pictures import Pictures

SCOPES = {OWN: "own words", COMMON: "common words"}


def names(found: Findings) -> list[str]:
    """Of the models, the columns of most tables."""
    return [model.name for model in found.models]


def picture(
    drawn: Pictures, name: str, *, caption: Content, rows: Sequence[Mapping[str, Any]], shown: Html | None = None
) -> Html:
    """A figure of the study with its rows, as a table and as files."""
    return figures.drawn(drawn[name], name, caption=caption, rows=rows, shown=shown)


def side_by_side(*figures_of: Content) -> Html:
    """Figures in as many columns as fit."""
    return tag("div", figures_of, class_="figures")


def heading(text: str) -> Html:
    """A heading inside a section, set off from what stands above it."""
    return tag("h3", text, style="margin-top: 2rem")
