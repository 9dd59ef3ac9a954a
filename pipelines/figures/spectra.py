"""The spectra of one or several embedders and their backbone: one question a figure.

D hidden size, j a component, from 1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keytokens.pipelines.analysis.contribution import MeanContribution
from keytokens.pipelines.analysis.spectrum import Spectrum
from keytokens.pipelines.figures import theme

SHOWN_VARIATIONS = 60
# A line of thousands of components has as many points as can be seen.
_POINTS = 240


def all_figures(found: Sequence[Any]) -> dict[str, Figure]:
    """File name without its ending -> every figure that there are numbers for.

    Args:
      found: `spectral.StoreSpectra`, one an embedder, of one backbone.
    """
    figures = {"singular_values": singular_values(found), "explained_variance": explained_variance(found)}
    if any(one.comparison is not None for one in found):
        figures["variation"] = variation(found)
        figures["principal_angles"] = principal_angles(found)
    for one in found:
        if one.contributions:
            suffix = "" if len(found) == 1 else f"_{found.index(one) + 1}"
            figures[f"contribution{suffix}"] = contributions(one.contributions)
    return figures


def _lines(found: Sequence[Any]) -> list[tuple[str, Spectrum, str]]:
    """Name, spectrum and colour of every line: embedders first, their one backbone last."""
    many = len(found) > 1
    lines = [(one.model if many else "embedder", one.embedder, theme.COLOURS[i % 4]) for i, one in enumerate(found)]
    if many:
        lines = [(name, of, colour if colour != theme.SECOND else theme.FOURTH) for name, of, colour in lines]
    backbone = next((one.backbone for one in found if one.backbone is not None), None)
    return lines if backbone is None else [*lines, ("backbone", backbone, theme.SECOND)]


def singular_values(found: Sequence[Any]) -> Figure:
    """Singular values of H, not centred, on log axes."""
    drawn, axes = theme.figure(theme.Labels("Singular values", "component j (log)", "singular value of H (log)"))
    axes.set(xscale="log", yscale="log")
    theme.plain_numbers(axes.xaxis)
    theme.plain_numbers(axes.yaxis)
    for name, one, colour in _lines(found):
        chosen = log_steps(one.rank, _POINTS)
        label = f"{name}: effective rank {one.effective_rank:.1f}"
        axes.plot(chosen + 1, one.singular_values[chosen], color=colour, label=label, **_line(name, len(chosen)))
    theme.legend(axes, ncols=1)
    return drawn


def explained_variance(found: Sequence[Any]) -> Figure:
    """Cumulative explained variance, as it is and centred."""
    drawn, axes = theme.figure(theme.Labels("Explained variance", "leading components (log)", "share of variance"))
    axes.set(xscale="log", ylim=(0, 1.03))
    theme.plain_numbers(axes.xaxis)
    theme.percentages(axes.yaxis)
    for name, one, colour in _lines(found):
        chosen = log_steps(len(one.singular_values), _POINTS)
        for ratio, dash, label in (
            (one.explained_variance_ratio, "-", name),
            (one.centred_explained_variance_ratio, theme.DASHES[1], f"{name}, centred"),
        ):
            line = {**_line(name, len(chosen)), "linestyle": dash}
            axes.plot(chosen + 1, np.cumsum(ratio)[chosen], color=colour, label=label, **line)
    theme.legend(axes)
    return drawn


def variation(found: Sequence[Any]) -> Figure:
    """v_j along the backbone's components, with error bars where there are some."""
    drawn, axes = theme.figure(
        theme.Labels("Variation", "component j of the backbone", "variation v\u2c7c (unit of h)")
    )
    axes.axhline(0, color=theme.SOFT, linewidth=0.8)
    shown = [one for one in found if one.comparison is not None]
    for index, one in enumerate(shown):
        values = one.comparison.variation[: min(one.backbone.rank, SHOWN_VARIATIONS)]
        j = np.arange(1, len(values) + 1)
        errors = one.errors.variation[: len(values)] if one.errors is not None else None
        if len(shown) == 1:
            first = f"v\u2081, in size {one.comparison.dominance:.1f} times the largest other"
            for bars, colour, label in (
                (slice(0, 1), theme.SECOND, first),
                (slice(1, None), theme.FIRST, "the others"),
            ):
                axes.bar(j[bars], values[bars], width=0.8, color=colour, label=label)
        else:
            axes.plot(
                j, values, color=theme.COLOURS[index % 4], marker="o", markersize=3, linewidth=0.8, label=one.model
            )
        if errors is not None:
            axes.errorbar(j, values, yerr=1.96 * errors, fmt="none", ecolor=theme.INK, elinewidth=0.8)
    theme.whole_numbers(axes.xaxis)
    theme.plain_numbers(axes.yaxis)
    theme.legend(axes, ncols=1)
    return drawn


def principal_angles(found: Sequence[Any]) -> Figure:
    """Angles between the leading subspaces of embedder and backbone."""
    drawn, axes = theme.figure(
        theme.Labels("Principal angles", "principal angle, smallest first", "degrees (90: nothing shared)")
    )
    axes.set(ylim=(0, 95), yticks=range(0, 91, 15))
    axes.axhline(90, color=theme.SOFT, linewidth=1.0)
    for index, one in enumerate(one for one in found if one.comparison is not None):
        angles = np.degrees(one.comparison.principal_angles_rad)
        label = f"{one.model}: linear CKA {one.comparison.linear_cka:.3f}"
        axes.plot(np.arange(1, len(angles) + 1), angles, color=theme.COLOURS[index % 4], marker="o", label=label)
    theme.whole_numbers(axes.xaxis)
    theme.legend(axes, ncols=1)
    return drawn


def contributions(split: dict[str, MeanContribution]) -> Figure:
    """Where the logits of the aligned tokens come from, beyond what a component gives to every token alike."""
    drawn, axes = theme.figure(
        theme.Labels(
            "Contribution to the aligned tokens", "component j of the backbone", "mean logit above all tokens'"
        )
    )
    axes.axhline(0, color=theme.SOFT, linewidth=0.8)
    width = 0.8 / len(split)
    for index, (model, one) in enumerate(split.items()):
        above = one.by_component - one.baseline
        j = np.arange(1, len(above) + 1) + (index - (len(split) - 1) / 2) * width
        label = f"aligned tokens of the {model}"
        axes.bar(j, above, width=width, color=theme.COLOURS[index % 4], label=label)
    theme.whole_numbers(axes.xaxis)
    theme.plain_numbers(axes.yaxis)
    theme.legend(axes, ncols=1)
    return drawn


def text_contribution(one: Any) -> Figure:
    """The aligned tokens of one text: logit, what component 1 gives to it, and what all others do.

    Args:
      one: `spectral.TextContribution`.
    """
    drawn, axes = theme.figure(
        theme.Labels(f"Contribution to the aligned tokens of the {one.model}", "aligned token", "logit")
    )
    places = np.arange(len(one.tokens))
    parts = (
        ("logit", one.total, theme.SOFT),
        ("component 1", one.first, theme.SECOND),
        ("the others", one.rest, theme.FIRST),
    )
    for offset, (label, values, colour) in zip((-0.27, 0.0, 0.27), parts, strict=True):
        axes.bar(places + offset, values, width=0.26, color=colour, label=label)
    axes.set_xticks(places, one.tokens, rotation=40, ha="right")
    axes.axhline(0, color=theme.SOFT, linewidth=0.8)
    theme.legend(axes, ncols=3)
    return drawn


def log_steps(count: int, wanted: int) -> np.ndarray:
    """At most `wanted` indices below count, the first and the last among them, at about equal ratios of index + 1."""
    if not count:
        return np.zeros(0, np.int64)
    return np.unique(np.geomspace(1, count, wanted).round().astype(np.int64)) - 1


def _line(name: str, num_points: int) -> dict[str, Any]:
    """A lone point is invisible as a line, so it gets a marker; the backbone's line is thinner, and on top."""
    return {"linewidth": 1.4 if name == "backbone" else 2.0, **({"marker": "o"} if num_points == 1 else {})}
