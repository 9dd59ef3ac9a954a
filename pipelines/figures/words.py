"""How do the cosines of words lie, related and not, how do models answer analogies, and how far do they agree?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keytokens.pipelines.figures import theme

# Densities below this share of the highest are not worth room on the axis.
_NEGLIGIBLE = 1e-3
# Few pairs need wide bins, or the line is all noise.
_BIN_WIDTH, _WIDE_BIN_WIDTH, _FEW_PAIRS = 0.02, 0.05, 400
_SHORT = {"semantic": "semantic (BATS E, L)", "morphological": "morphological (BATS I, D)", "random": "random"}


def all_pairs(title: str, densities: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """The distribution of the cosines of all pairs, a line a model.

    Args:
      title: of which words.
      densities: name -> (edges [b + 1], density [b]).
    """
    drawn, axes = theme.figure(theme.Labels(title, "cosine", "density"))
    low, high = 1.0, -1.0
    for number, (name, (edges, density)) in enumerate(densities.items()):
        axes.plot(edges[:-1] + np.diff(edges) / 2, density, label=name, **line(number))
        seen = np.flatnonzero(density > _NEGLIGIBLE * density.max())
        low, high = min(low, edges[seen[0]]), max(high, edges[seen[-1] + 1])
    axes.set(xlim=(low, high), ylim=(0, None))
    theme.legend(axes, columnspacing=4)
    return drawn


def related(name: str, cosines: Mapping[str, np.ndarray]) -> Figure:
    """The distributions of a model's cosines of semantically and morphologically related pairs, and of random ones."""
    drawn, axes = theme.figure(theme.Labels(f"Related and random pairs, {name}", "cosine", "density"))
    low, high = 1.0, -1.0
    for number, (kind, label) in enumerate(_SHORT.items()):
        if not len(cosines.get(kind, ())):
            continue
        width = _BIN_WIDTH if len(cosines[kind]) >= _FEW_PAIRS else _WIDE_BIN_WIDTH
        half = round(1 / width)
        edges = np.arange(-half, half + 1) * width
        density, _ = np.histogram(np.clip(cosines[kind], -1, 1), edges, density=True)
        axes.plot(edges[:-1] + width / 2, density, label=label, **line(number))
        seen = np.flatnonzero(density)
        low, high = min(low, edges[seen[0]]), max(high, edges[seen[-1] + 1])
    axes.set(xlim=(low, high), ylim=(0, None))
    theme.legend(axes, columnspacing=4)
    return drawn


def bars(title: str, places: Sequence[str], accuracy: Mapping[str, Sequence[float]]) -> Figure:
    """Accuracies as bars, the models' side by side at each place: a method, or a group of BATS."""
    drawn, axes = theme.figure(theme.Labels(title, "", "accuracy, mean of categories"), height=1.1)
    width = 0.8 / len(accuracy)
    for number, (name, values) in enumerate(accuracy.items()):
        left = np.arange(len(places)) - 0.4 + number * width
        colour = theme.COLOURS[number % len(theme.COLOURS)]
        shade = 1.0 if number < len(theme.COLOURS) else 0.5
        axes.bar(left, np.nan_to_num(values), 0.9 * width, align="edge", color=colour, alpha=shade, label=name)
    axes.set(ylim=(0, None))
    axes.set_xticks(range(len(places)), places, rotation=25, ha="right")
    axes.grid(False, axis="x")
    theme.percentages(axes.yaxis)
    theme.legend(axes, columnspacing=4)
    return drawn


def heat_map(title: str, names: Sequence[str], values: np.ndarray, order: Sequence[int]) -> Figure:
    """Agreement between models, [M, M], in an order that puts those together that agree; the darker, the more."""
    size = len(names)
    drawn, axes = theme.figure(theme.Labels(title, "", ""), height=max(0.8, 0.25 + 0.15 * size))
    for row, i in enumerate(order):
        for column, j in enumerate(order):
            value = float(values[i, j])
            shade = max(0.0, value) * 0.75 if np.isfinite(value) else 0.0
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=theme.FIRST, alpha=shade, linewidth=0))
            text = f"{value:.2f}".replace("-", "\u2212") if np.isfinite(value) else "none"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=theme.INK, fontsize=9)
    shown = [names[i] for i in order]
    middles = np.arange(size) + 0.5
    axes.set(xlim=(0, size), ylim=(size, 0))
    axes.set_xticks(middles, shown, rotation=25 if size > 2 else 0, ha="right" if size > 2 else "center")
    axes.set_yticks(middles, shown)
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    return drawn


def line(number: int) -> dict[str, Any]:
    """The colour and dash of the number-th line of a figure: 16 before one repeats."""
    colours = len(theme.COLOURS)
    return {
        "color": theme.COLOURS[number % colours],
        "linestyle": theme.DASHES[number // colours % len(theme.DASHES)],
        "linewidth": 1.6,
    }
