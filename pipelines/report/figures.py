"""Charts and tables as parts of a page: every chart has its numbers beside it, in a table that opens and as files."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keytokens.pipelines.figures import histograms, inline, theme
from keytokens.pipelines.report import downloads
from keytokens.pipelines.report.data import Histogram
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number


def table(
    headers: Sequence[Content], rows: Iterable[Sequence[Content]], *, caption: str, first_is_header: bool = True
) -> Html:
    """A table in a region that scrolls sideways where it must, also by keyboard.

    Args:
      headers: of the columns.
      rows: cells, as many as headers.
      caption: names the table, for screen readers; not shown.
      first_is_header: whether a row's first cell names the row.
    """
    body = []
    for row in rows:
        first = tag("th", row[0], scope="row") if first_is_header else tag("td", row[0])
        body.append(tag("tr", first, [tag("td", cell) for cell in row[1:]]))
    head = tag("thead", tag("tr", [tag("th", header, scope="col") for header in headers]))
    whole = tag("table", tag("caption", caption, class_="unseen"), head, tag("tbody", body))
    return tag("div", whole, class_="scroll", role="region", aria_label=caption, tabindex=0)


def figure(chart: Html, *, heading: str, caption: Content, numbers: Html, files: Content = None) -> Html:
    """A chart under its heading, with a sentence on how to read it, its numbers folded away, and files of them."""
    return tag(
        "figure",
        tag("h3", heading),
        chart,
        tag("figcaption", caption),
        tag("details", tag("summary", "Numbers", tag("span", f" of {heading}", class_="unseen")), numbers),
        files,
    )


def drawn(
    picture: Figure, key: str, *, caption: Content, rows: Sequence[Mapping[str, Any]], shown: Html | None = None
) -> Html:
    """A figure of `pipelines.figures` with its rows: as a table, unless another is given, and as files.

    Args:
      picture: the figure.
      key: its name: identifier on the page, and of its files.
      caption: how to read it.
      rows: its numbers.
      shown: a table to show in place of all rows.
    """
    title, markup = inline.markup(picture, key)
    if shown is None:
        headers = list(rows[0]) if rows else []
        cells = [[_cell(row[header]) for header in headers] for row in rows]
        shown = table([header.replace("_", " ") for header in headers], cells, caption=title)
    links = downloads.links(key, rows, title=title)
    return figure(Html(markup), heading=title, caption=caption, numbers=shown, files=links)


def _cell(value: Any) -> Content:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "—" if value is None else tag("bdi", str(value))
    return number(value)


def histogram_figure(
    counted: Histogram, *, key: str, heading: str, caption: Content, value_label: str, count_label: str,
    integers: bool = False,
) -> Html:  # fmt: skip
    """A histogram; of positive edges that grow by factors, on a log axis.

    Args:
      counted: its bins.
      key: identifier, and name of its files.
      heading: what is counted.
      caption: how to read it.
      value_label: of the x axis, with its unit.
      count_label: of the y axis.
      integers: whether the values are integers, so that the bin [1, 2) is called 1.
    """
    counts = np.asarray(counted.counts)
    if not counts.sum():
        return nothing(heading, "nothing to count.")
    log_x = _grows_by_factors(counted.edges)
    labels = theme.Labels(heading, f"{value_label}{' (log)' if log_x else ''}", count_label)
    names = bin_names(counted.edges, integers=integers)
    rows = [
        {"from": low, "to": high, count_label.replace(" ", "_"): count}
        for low, high, count in zip(
            counted.edges[:-1].tolist(), counted.edges[1:].tolist(), counts.tolist(), strict=True
        )
    ]
    shown = [(name, number(count)) for name, count in zip(names, counts.tolist(), strict=True) if count]
    return drawn(
        histograms.histogram(counted.edges, counts, labels, log_x=log_x),
        key,
        caption=caption,
        rows=rows,
        shown=table((value_label, count_label), shown, caption=heading),
    )


def nothing(heading: str, why: str) -> Html:
    """Stands where a figure has no value to show."""
    return tag("figure", tag("h3", heading), tag("p", f"No figure: {why}", class_="empty"))


def bin_names(edges: np.ndarray, *, integers: bool) -> list[str]:
    """What each bin holds: '8 to 15' of integers, '0.5 to 1' of reals."""
    names = []
    for index, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        if integers:
            # The last bin holds its right edge.
            last = np.floor(high) if index == len(edges) - 2 else np.ceil(high) - 1
            low, high = np.ceil(low), last
        names.append(number(low) if integers and low >= high else f"{number(low)} to {number(high)}")
    return names


def _grows_by_factors(edges: np.ndarray) -> bool:
    """Whether edges look like those of log bins: the last bin at least three times as wide as the first."""
    return bool(edges[0] > 0 and len(edges) > 2 and edges[-1] - edges[-2] >= 3 * (edges[1] - edges[0]))
