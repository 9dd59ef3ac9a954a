"""Charts and tables as parts of a page: every chart has its numbers beside it, in a table that opens."""

from collections.abc import Iterable, Sequence

import numpy as np

from keytokens.pipelines.report import svg
from keytokens.pipelines.report.data import Histogram
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number


def table(
    headers: Sequence[str], rows: Iterable[Sequence[Content]], *, caption: str, first_is_header: bool = True
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


def figure(chart: Html, *, heading: str, caption: Content, numbers: Html) -> Html:
    """A chart under its heading, with a sentence on how to read it and its numbers folded away."""
    return tag(
        "figure",
        tag("h3", heading),
        chart,
        tag("figcaption", caption),
        tag("details", tag("summary", "Numbers", tag("span", f" of {heading}", class_="unseen")), numbers),
    )


def histogram_figure(
    histogram: Histogram, *, heading: str, caption: Content, value_label: str, count_label: str, integers: bool = False
) -> Html:
    """A histogram; of positive edges that grow by factors, on a log axis.

    Args:
      histogram: as counted.
      heading: what is counted.
      caption: how to read it.
      value_label: of the x axis, with its unit.
      count_label: of the y axis.
      integers: whether the values are integers, so that the bin [1, 2) is called 1.
    """
    counts = np.asarray(histogram.counts)
    if not counts.sum():
        return nothing(heading, "nothing to count.")
    log_x = _grows_by_factors(histogram.edges)
    names = bin_names(histogram.edges, integers=integers)
    axes = svg.Axes(f"Histogram: {heading}", f"{value_label}{' (log)' if log_x else ''}", count_label, log_x=log_x)
    chart = svg.bar_chart(axes, edges=histogram.edges, values=counts, names=names)
    rows = [(name, number(count)) for name, count in zip(names, counts.tolist(), strict=True) if count]
    return figure(
        chart, heading=heading, caption=caption, numbers=table((value_label, count_label), rows, caption=heading)
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
