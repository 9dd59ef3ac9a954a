"""The spectrum of the embeddings, and what the embedder changed of its backbone, as part of a page.

D hidden size, j a component, from 1, f the embedder, g the backbone.
"""

from collections.abc import Callable

import numpy as np

from keytokens.pipelines.analysis.spectrum import Comparison, Spectrum
from keytokens.pipelines.report import svg
from keytokens.pipelines.report.figures import figure, nothing, table
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number, percent

_SHOWN_VARIATIONS = 60
# Points of a line, and rows of its table, at equal steps of log j: a page of D = 4096 stays small.
_POINTS, _ROWS = 160, 24

_QUANTITIES: tuple[tuple[str, str, Callable[[Spectrum], str]], ...] = (
    (
        "Effective rank",
        "directions in use, of {hidden_size}: exp of the entropy of the singular values",
        lambda s: number(s.effective_rank),
    ),
    ("Effective rank, centred", "the same without the mean", lambda s: number(s.centred_effective_rank)),
    (
        "Anisotropy",
        "mean cosine similarity of two texts: 0 spread out, 1 all alike",
        lambda s: number(s.anisotropy),
    ),
    ("Energy of component 1", "its share of the sum of |h|²", lambda s: percent(s.explained_variance_ratio[0])),
    ("Length of the mean", "|mean h|", lambda s: number(s.mean_norm)),
)


def spectrum_section(embedder: Spectrum | None, backbone: Spectrum | None, comparison: Comparison | None) -> Content:
    """Numbers and charts of whatever is there."""
    if embedder is None:
        return tag("p", "No spectrum: the store holds no moments of an embedded text.", class_="empty")
    models = [("embedder", embedder, "first")]
    if backbone is not None:
        models.append(("backbone", backbone, "second"))
    charts = [_singular_values(models), _explained_variance(models)]
    if comparison is not None:
        rank = len(comparison.variation) if backbone is None else backbone.rank
        charts += [_variation(comparison.variation[: min(rank, _SHOWN_VARIATIONS)]), _angles(comparison)]
    return [_quantities(models), _comparison(comparison), tag("div", charts, class_="figures")]


def _quantities(models: list[tuple[str, Spectrum, str]]) -> Html:
    hidden_size = number(len(models[0][1].singular_values))
    rows: list[list[Content]] = []
    for name, meaning, value in _QUANTITIES:
        meaning = meaning.format(hidden_size=hidden_size)
        rows.append([[name, tag("small", meaning)], *(value(spectrum) for _, spectrum, _ in models)])
    return table(("", *(name for name, _, _ in models)), rows, caption="Numbers of the spectrum")


def _comparison(comparison: Comparison | None) -> Content:
    if comparison is None:
        return None
    first = comparison.variation[0]
    rows: list[list[Content]] = [
        [
            ["Linear CKA", tag("small", "1: the same geometry up to rotation and scale, 0: none in common")],
            number(comparison.linear_cka),
        ],
        [
            ["Variation of component 1", tag("small", "mean of f minus mean of g, along V₁ of the backbone")],
            number(first),
        ],
        [
            ["Dominance of component 1", tag("small", "|v₁| over the largest other |vⱼ|; above 1, V₁ changed most")],
            number(comparison.dominance),
        ],
    ]
    return table(("", "embedder f against backbone g"), rows, caption="Embedder against backbone")


def _singular_values(models: list[tuple[str, Spectrum, str]]) -> Html:
    heading = "Singular values"
    if not any(spectrum.rank for _, spectrum, _ in models):
        return nothing(heading, "every embedding is zero.")
    lines = []
    for name, spectrum, style in models:
        chosen = _log_steps(spectrum.rank, _POINTS)
        lines.append(svg.Series(name, chosen + 1.0, spectrum.singular_values[chosen], style))
    axes = svg.Axes("Singular values by component", "component j (log)", "singular value (log)", log_x=True, log_y=True)
    return figure(
        svg.line_chart(axes, lines),
        heading=heading,
        caption="Of all embeddings, not centred. A first value far above the rest is a direction that all texts share.",
        numbers=_by_component(models, "singular value", lambda s: s.singular_values, number),
    )


def _explained_variance(models: list[tuple[str, Spectrum, str]]) -> Html:
    lines = []
    for name, spectrum, style in models:
        chosen = _log_steps(len(spectrum.singular_values), _POINTS)
        for ratio, label, dash in (
            (spectrum.explained_variance_ratio, name, ""),
            (spectrum.centred_explained_variance_ratio, f"{name}, centred", " dashed"),
        ):
            lines.append(svg.Series(label, chosen + 1.0, np.cumsum(ratio)[chosen], style + dash))
    axes = svg.Axes(
        "Cumulative explained variance by number of components",
        "leading components (log)",
        "share of variance",
        log_x=True,
        y_range=(0.0, 1.0),
    )
    return figure(
        svg.line_chart(axes, lines),
        heading="Explained variance",
        caption="How much of the embeddings the leading components hold, as they are and after subtracting the mean.",
        numbers=_by_component(models, "cumulative share", lambda s: np.cumsum(s.explained_variance_ratio), percent),
    )


def _variation(values: np.ndarray) -> Html:
    heading = "Variation"
    if not values.any():
        return nothing(heading, "the means of embedder and backbone are the same.")
    names = [f"component {j}" for j in range(1, len(values) + 1)]
    axes = svg.Axes("Variation by component of the backbone", "component j of the backbone", "variation (unit of h)")
    edges = np.arange(len(values) + 1) + 0.5
    return figure(
        svg.bar_chart(axes, edges=edges, values=values, names=names, highlight=0),
        heading=heading,
        caption="How far the mean embedding moved along each component of the backbone. Component 1 is set apart: the "
        "paper finds that it moves most.",
        numbers=table(("component j", "variation"), _pairs(values, number), caption="Variation by component"),
    )


def _angles(comparison: Comparison) -> Html:
    heading = "Principal angles"
    degrees = np.degrees(comparison.principal_angles_rad)
    if not len(degrees):
        return nothing(heading, "one of the models embeds every text to zero.")
    axes = svg.Axes("Principal angles, smallest first", "principal angle", "degrees", y_range=(0.0, 90.0))
    names = [f"angle {j}" for j in range(1, len(degrees) + 1)]
    return figure(
        svg.bar_chart(axes, edges=np.arange(len(degrees) + 1) + 0.5, values=degrees, names=names),
        heading=heading,
        caption=f"Between the leading {len(degrees)} components of either model: 0 degrees is a direction in both, 90 "
        "one that the other lacks.",
        numbers=table(("angle", "degrees"), _pairs(degrees, number), caption="Principal angles in degrees"),
    )


def _by_component(
    models: list[tuple[str, Spectrum, str]],
    what: str,
    values: Callable[[Spectrum], np.ndarray],
    written: Callable[[float], str],
) -> Html:
    chosen = _log_steps(len(models[0][1].singular_values), _ROWS)
    columns = [values(spectrum) for _, spectrum, _ in models]
    rows = [[number(j + 1), *(written(column[j]) for column in columns)] for j in chosen.tolist()]
    return table(("component j", *(f"{what}, {name}" for name, _, _ in models)), rows, caption=f"{what} by component")


def _pairs(values: np.ndarray, written: Callable[[float], str]) -> list[tuple[str, str]]:
    return [(number(j), written(value)) for j, value in enumerate(values.tolist(), start=1)]


def _log_steps(count: int, wanted: int) -> np.ndarray:
    """At most `wanted` indices below count, the first and the last among them, at about equal ratios of index + 1."""
    if not count:
        return np.zeros(0, np.int64)
    return np.unique(np.geomspace(1, count, wanted).round().astype(np.int64)) - 1
