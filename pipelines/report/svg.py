"""Small charts as inline SVG: bars and lines, readable without colour, described for who cannot see them."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keytokens.pipelines.report.markup import Html, tag
from keytokens.pipelines.report.numerals import number, short
from keytokens.pipelines.report.scales import Scale

WIDTH, HEIGHT = 460, 264
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 14, 14, 44
_LEGEND_ROW = 17


@dataclasses.dataclass(frozen=True)
class Axes:
    """What the axes say.

    Attributes:
      title: what the chart shows, in a sentence; read out in place of the picture.
      x_label: with its unit.
      y_label: with its unit.
      log_x: whether x grows by factors.
      log_y: whether y grows by factors.
      y_range: (low, high), or None for that of the values.
    """

    title: str
    x_label: str
    y_label: str
    log_x: bool = False
    log_y: bool = False
    y_range: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Series:
    """One line.

    Attributes:
      name: in the legend; '' draws none.
      x: [m] ascending.
      y: [m].
      style: CSS class that colours and dashes it.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    style: str = "first"


def bar_chart(
    axes: Axes, *, edges: np.ndarray, values: np.ndarray, names: Sequence[str], highlight: int | None = None
) -> Html:
    """A bar from zero for every value, each with its name and value in a tooltip.

    Args:
      axes: labels; of log axes only x is possible, a bar has no foot on a log y.
      edges: [b + 1], ascending, of the bars.
      values: [b], of either sign.
      names: b names of the bars.
      highlight: a bar to set apart, or None.
    """
    # A little room, so that the longest bar does not touch the frame.
    y_low, y_high = axes.y_range or (min(0.0, 1.05 * float(values.min())), max(0.0, 1.05 * float(values.max())))
    x = Scale(float(edges[0]), float(edges[-1]), _LEFT, WIDTH - _RIGHT, axes.log_x)
    y = Scale(y_low, y_high if y_high > y_low else y_low + 1.0, HEIGHT - _BOTTOM, _TOP)
    bars = []
    for index, value in enumerate(values.tolist()):
        if not value:
            continue
        left, right = x(edges[index]), x(edges[index + 1])
        top, foot = sorted((y(value), y(0.0)))
        # A bin of one text among thousands would be thinner than a pixel, and missing.
        top, foot = (top, foot) if foot - top >= 1 else (min(top, foot - 1), foot)
        gap = 1.0 if right - left > 4 else 0.0
        bars.append(
            tag(
                "rect",
                tag("title", f"{names[index]}: {number(value)}"),
                x=_px(left + gap / 2),
                y=_px(top),
                width=_px(max(0.5, right - left - gap)),
                height=_px(foot - top),
                class_="bar highlight" if index == highlight else "bar",
            )
        )
    zero = tag("line", x1=_px(x.start), x2=_px(x.end), y1=_px(y(0.0)), y2=_px(y(0.0)), class_="zero")
    return _chart(axes, x, y, [*bars, zero])


def line_chart(axes: Axes, series: Sequence[Series]) -> Html:
    """A line for every series, with a legend above if they have names. Values that a log axis cannot show are left out.

    Raises:
      ValueError: no value can be shown.
    """
    shown = [_presentable(axes, one) for one in series]
    if not any(len(one.x) for one in shown):
        raise ValueError(f"no value of {axes.title!r} can be drawn: all are missing, or <= 0 on a log axis.")
    top = _TOP + _LEGEND_ROW * -(-sum(bool(one.name) for one in shown) // 2)
    all_x, all_y = (np.concatenate([getattr(one, name) for one in shown]) for name in ("x", "y"))
    x_low, x_high = _widened(float(all_x.min()), float(all_x.max()), log=axes.log_x)
    y_low, y_high = axes.y_range or _widened(float(all_y.min()), float(all_y.max()), log=axes.log_y)
    x = Scale(x_low, x_high, _LEFT, WIDTH - _RIGHT, axes.log_x)
    y = Scale(y_low, y_high, HEIGHT - _BOTTOM, top, axes.log_y)
    lines = []
    for one in shown:
        points = " ".join(f"{_px(x(a))},{_px(y(b))}" for a, b in zip(one.x.tolist(), one.y.tolist(), strict=True))
        lines.append(tag("polyline", points=points, class_=f"line {one.style}"))
        if len(one.x) == 1:
            lines.append(tag("circle", cx=_px(x(one.x[0])), cy=_px(y(one.y[0])), r=3, class_=f"dot {one.style}"))
    return _chart(axes, x, y, [*lines, *_legend([one for one in shown if one.name])])


def _presentable(axes: Axes, series: Series) -> Series:
    keep = np.isfinite(series.x) & np.isfinite(series.y)
    keep &= (series.x > 0) | (not axes.log_x)
    keep &= (series.y > 0) | (not axes.log_y)
    return dataclasses.replace(series, x=series.x[keep], y=series.y[keep])


def _widened(low: float, high: float, *, log: bool) -> tuple[float, float]:
    """A range that is not empty, for a chart of one value."""
    if low < high:
        return low, high
    return (low / 2, high * 2) if log else (low - 0.5, high + 0.5)


def _chart(axes: Axes, x: Scale, y: Scale, marks: Sequence[Html]) -> Html:
    parts = [tag("title", axes.title)]
    for tick in y.ticks():
        parts.append(tag("line", x1=_px(x.start), x2=_px(x.end), y1=_px(y(tick)), y2=_px(y(tick)), class_="grid"))
        parts.append(tag("text", short(tick), x=_px(x.start - 6), y=_px(y(tick) + 4), text_anchor="end"))
    for tick in x.ticks():
        parts.append(tag("line", x1=_px(x(tick)), x2=_px(x(tick)), y1=_px(y.start), y2=_px(y.start + 4), class_="zero"))
        parts.append(tag("text", short(tick), x=_px(x(tick)), y=_px(y.start + 17), text_anchor="middle"))
    middle_x, middle_y = (x.start + x.end) / 2, (y.start + y.end) / 2
    parts.append(tag("text", axes.x_label, x=_px(middle_x), y=HEIGHT - 6, text_anchor="middle", class_="label"))
    turned = f"translate(12 {_px(middle_y)}) rotate(-90)"
    parts.append(tag("text", axes.y_label, transform=turned, text_anchor="middle", class_="label"))
    return tag("svg", parts, marks, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=axes.title, class_="chart")


def _legend(series: Sequence[Series]) -> list[Html]:
    """Two names a row, above the plot, each behind a piece of its line."""
    parts = []
    for index, one in enumerate(series):
        left, height = _LEFT + (index % 2) * (WIDTH - _LEFT - _RIGHT) / 2, _TOP - 4 + (index // 2) * _LEGEND_ROW
        parts.append(
            tag("polyline", points=f"{_px(left)},{height} {_px(left + 26)},{height}", class_=f"line {one.style}")
        )
        parts.append(tag("text", one.name, x=_px(left + 32), y=height + 4))
    return parts


def _px(value: float) -> str:
    """A tenth of a pixel is enough, and keeps the file small."""
    return f"{value:.1f}".removesuffix(".0")
