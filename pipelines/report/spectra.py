"""The spectrum of the embeddings, and what the embedder changed of its backbone, as part of a page.

D hidden size, j a component, from 1, f the embedder, g the backbone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keytokens.pipelines.analysis.spectrum import Spectrum
from keytokens.pipelines.figures import spectra as pictures
from keytokens.pipelines.figures import trajectory as training
from keytokens.pipelines.report.figures import drawn, nothing, table
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number, percent
from keytokens.pipelines.spectral import StoreSpectra

# Rows of a table, at equal steps of log j.
_ROWS = 24

_QUANTITIES: tuple[tuple[str, str, str, Callable[[Spectrum], str]], ...] = (
    (
        "effective_rank",
        "Effective rank",
        "directions in use, of {hidden_size}: exp of the entropy of the singular values",
        lambda s: number(s.effective_rank),
    ),
    (
        "centred_effective_rank",
        "Effective rank, centred",
        "the same without the mean",
        lambda s: number(s.centred_effective_rank),
    ),
    (
        "anisotropy",
        "Anisotropy",
        "mean cosine similarity of two texts: 0 spread out, 1 all alike",
        lambda s: number(s.anisotropy),
    ),
    (
        "first_energy",
        "Energy of component 1",
        "its share of the sum of |h|²",
        lambda s: percent(s.explained_variance_ratio[0]),
    ),
    ("mean_norm", "Length of the mean", "|mean h|", lambda s: number(s.mean_norm)),
)


def spectrum_section(found: StoreSpectra | None, *, prefix: str = "") -> Content:
    """Numbers and charts of whatever is there; `prefix` sets figures apart from those of another model's section."""
    if found is None:
        return tag("p", "No spectrum: the store holds no moments of an embedded text.", class_="empty")
    charts = [_singular_values(found, prefix), _explained_variance(found, prefix)]
    if found.comparison is not None:
        charts += [_variation(found, prefix), _angles(found, prefix)]
    if found.contributions:
        charts.append(_contributions(found, prefix))
    return [_quantities(found), _comparison(found), tag("div", charts, class_="figures")]


def trajectory_section(points: Sequence[Mapping[str, Any]], *, prefix: str = "") -> Html:
    """How components and key tokens moved while the embedder was trained; `prefix` as above."""
    rows = [
        {"step": point["step"], **{name: value for name, value in point.items() if isinstance(value, int | float)},
         **{f"v_{j}": value for j, value in enumerate(point["variation"], start=1)}}
        for point in points
    ]  # fmt: skip
    shares = [{name: value for name, value in row.items() if not name.startswith("v_")} for row in rows]
    moved = [{"step": row["step"], **{k: v for k, v in row.items() if k.startswith("v_")}} for row in rows]
    return tag(
        "div",
        drawn(
            training.variation(points),
            f"{prefix}trajectory_variation",
            caption="How far the mean embedding has moved along each component of the backbone, while it was trained.",
            rows=moved,
        ),
        drawn(
            training.shares(points),
            f"{prefix}trajectory_shares",
            caption="What the model comes to say meanwhile.",
            rows=shares,
        ),
        class_="figures",
    )


def _models(found: StoreSpectra) -> list[tuple[str, Spectrum]]:
    return [("embedder", found.embedder), *([("backbone", found.backbone)] if found.backbone is not None else [])]


def _quantities(found: StoreSpectra) -> Html:
    hidden_size = number(len(found.embedder.singular_values))
    rows: list[list[Content]] = []
    for key, name, meaning, value in _QUANTITIES:
        cells = [
            _with_error(value(one), found, f"{model}.{key}", key == "first_energy") for model, one in _models(found)
        ]
        rows.append([[name, tag("small", meaning.format(hidden_size=hidden_size))], *cells])
    headers = ["", *(model for model, _ in _models(found))]
    note = None
    if found.errors is not None:
        note = tag("p", f"± is a standard error, from leaving out one of {found.errors.num_groups} groups of texts.",
                   class_="aside")  # fmt: skip
    return tag("div", table(headers, rows, caption="Numbers of the spectrum"), note)


def _with_error(value: str, found: StoreSpectra, key: str, is_share: bool = False) -> Content:
    error = None if found.errors is None else found.errors.numbers.get(key)
    if error is None or not np.isfinite(error):
        return value
    return [value, tag("small", f"± {percent(error) if is_share else f'{error:.2g}'}")]


def _comparison(found: StoreSpectra) -> Content:
    if found.comparison is None:
        return None
    c, e = found.comparison, found.errors
    first: Content = number(c.variation[0])
    if e is not None and e.variation is not None:
        first = [first, tag("small", f"± {e.variation[0]:.2g}")]
    rows: list[list[Content]] = [
        [
            ["Linear CKA", tag("small", "1: the same geometry up to rotation and scale, 0: none in common")],
            _with_error(number(c.linear_cka), found, "comparison.linear_cka"),
        ],
        [["Variation of component 1", tag("small", "mean of f minus mean of g, along V₁ of the backbone")], first],
        [
            ["Dominance of component 1", tag("small", "|v₁| over the largest other |vⱼ|; above 1, V₁ changed most")],
            _with_error(number(c.dominance), found, "comparison.dominance"),
        ],
    ]
    return table(("", "embedder f against backbone g"), rows, caption="Embedder against backbone")


def _singular_values(found: StoreSpectra, prefix: str) -> Html:
    if not any(one.rank for _, one in _models(found)):
        return nothing("Singular values", "every embedding is zero.")
    return drawn(
        pictures.singular_values([found]),
        f"{prefix}singular_values",
        caption="Of all embeddings, not centred. A first value far above the rest is a direction that all texts share.",
        rows=_rows(found, "singular_value", lambda s: s.singular_values),
        shown=_by_component(found, "singular value", lambda s: s.singular_values, number),
    )


def _explained_variance(found: StoreSpectra, prefix: str) -> Html:
    return drawn(
        pictures.explained_variance([found]),
        f"{prefix}explained_variance",
        caption="How much of the embeddings the leading components hold, as they are and after subtracting the mean.",
        rows=[
            {**row, **centred}
            for row, centred in zip(
                _rows(found, "cumulative", lambda s: np.cumsum(s.explained_variance_ratio)),
                _rows(found, "centred_cumulative", lambda s: np.cumsum(s.centred_explained_variance_ratio)),
                strict=True,
            )
        ],
        shown=_by_component(found, "cumulative share", lambda s: np.cumsum(s.explained_variance_ratio), percent),
    )


def _variation(found: StoreSpectra, prefix: str) -> Html:
    assert found.comparison is not None and found.backbone is not None
    values = found.comparison.variation[: min(found.backbone.rank, pictures.SHOWN_VARIATIONS)]
    if not values.any():
        return nothing("Variation", "the means of embedder and backbone are the same.")
    rows: list[dict[str, Any]] = [
        {"component": j, "variation": value} for j, value in enumerate(values.tolist(), start=1)
    ]
    if found.errors is not None and found.errors.variation is not None:
        for row, error in zip(rows, found.errors.variation.tolist(), strict=False):
            row["standard_error"] = error
    return drawn(
        pictures.variation([found]),
        f"{prefix}variation",
        caption="How far the mean embedding moved along each component of the backbone, with 95 % intervals where "
        "there are errors. Component 1 is set apart: the paper finds that it moves most.",
        rows=rows,
    )


def _angles(found: StoreSpectra, prefix: str) -> Html:
    assert found.comparison is not None
    degrees = np.degrees(found.comparison.principal_angles_rad)
    if not len(degrees):
        return nothing("Principal angles", "one of the models embeds every text to zero.")
    return drawn(
        pictures.principal_angles([found]),
        f"{prefix}principal_angles",
        caption=f"Between the leading {len(degrees)} components of either model: 0 degrees is a direction in both, 90 "
        "one that the other lacks.",
        rows=[{"angle": j, "degrees": value} for j, value in enumerate(degrees.tolist(), start=1)],
    )


def _contributions(found: StoreSpectra, prefix: str) -> Html:
    rows = [
        {"component": j + 1, **{f"{model}_{what}": float(getattr(split, of)[j])
         for model, split in found.contributions.items()
         for what, of in (("aligned_tokens", "by_component"), ("all_tokens", "baseline"))}}
        for j in range(len(next(iter(found.contributions.values())).by_component))
    ]  # fmt: skip
    return drawn(
        pictures.contributions(found.contributions),
        f"{prefix}contribution",
        caption="What each component of the backbone adds to the logits of the ten aligned tokens of a text, above "
        "what it adds to any token.",
        rows=rows,
    )


def _rows(found: StoreSpectra, what: str, values: Callable[[Spectrum], np.ndarray]) -> list[dict[str, Any]]:
    columns = {f"{model}_{what}": values(one).tolist() for model, one in _models(found)}
    return [
        {"component": j + 1, **{name: column[j] for name, column in columns.items()}}
        for j in range(len(found.embedder.singular_values))
    ]


def _by_component(
    found: StoreSpectra, what: str, values: Callable[[Spectrum], np.ndarray], written: Callable[[float], str]
) -> Html:
    chosen = pictures.log_steps(len(found.embedder.singular_values), _ROWS)
    columns = [(model, values(one)) for model, one in _models(found)]
    rows = [[number(j + 1), *(written(column[j]) for _, column in columns)] for j in chosen.tolist()]
    return table(("component j", *(f"{what}, {model}" for model, _ in columns)), rows, caption=f"{what} by component")
