"""The look of all figures. They are built without pyplot: no global state, no display.

Colours are those of Okabe and Ito, told apart under every common colour blindness; line styles tell them apart in grey.
"""

import dataclasses
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

matplotlib.rcParams  # noqa: B018 (loaded before any figure, or its first use warns of the cache)

# A page replaces each by a variable of its style sheet, so that a figure follows light and dark.
INK, SOFT, RULE = "#24292f", "#5d646f", "#d8dce2"
FIRST, SECOND, THIRD, FOURTH = "#0072b2", "#c8510b", "#009e73", "#b0578d"
COLOURS = (FIRST, SECOND, THIRD, FOURTH)
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))
_SIZE_INCHES = (5.2, 3.3)
_FONT_POINTS = 9.5


@dataclasses.dataclass(frozen=True)
class Labels:
    """What a figure says.

    Attributes:
      title: what it shows; read out in place of the picture.
      x: label of the x axis, with its unit.
      y: of the y axis.
    """

    title: str
    x: str
    y: str


def figure(labels: Labels, *, height: float = 1.0) -> tuple[Figure, Axes]:
    """An empty figure with its axes; `height` is relative to the usual one."""
    drawn = Figure(figsize=(_SIZE_INCHES[0], _SIZE_INCHES[1] * height), layout="constrained")
    axes = drawn.add_subplot()
    drawn.suptitle(labels.title, x=0.01, ha="left", color=INK, fontsize=_FONT_POINTS + 1.5, fontweight="bold")
    axes.set_xlabel(labels.x, color=INK, fontsize=_FONT_POINTS)
    axes.set_ylabel(labels.y, color=INK, fontsize=_FONT_POINTS)
    axes.grid(True, color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(SOFT)
    axes.tick_params(colors=SOFT, labelcolor=SOFT, labelsize=_FONT_POINTS - 0.5, length=3)
    axes.tick_params(axis="both", which="minor", length=0)
    axes.tick_params(axis="y", length=0)
    return drawn, axes


def legend(axes: Axes, **options: Any) -> None:
    """A legend without a frame, between title and plot, where it hides nothing; none where nothing has a name."""
    defaults = {
        "frameon": False,
        "fontsize": _FONT_POINTS - 0.5,
        "labelcolor": INK,
        "loc": "lower left",
        "bbox_to_anchor": (0.0, 1.0),
        "ncols": 2,
        "borderaxespad": 0.2,
        "handlelength": 2.2,
    }
    if axes.get_legend_handles_labels()[1]:
        axes.legend(**{**defaults, **options})


def plain_numbers(axis: Any) -> None:
    """Ticks as 1, 10, 1000 rather than powers, with a true minus sign."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}".replace("-", "\u2212")))


def whole_numbers(axis: Any) -> None:
    """Ticks at integers only."""
    axis.set_major_locator(MaxNLocator(integer=True))


def percentages(axis: Any) -> None:
    """Ticks of shares as whole percentages."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%".replace("-", "\u2212")))
