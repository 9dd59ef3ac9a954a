"""The spectra of a run as PNG plots, fit for a paper: one question a file.

Matplotlib is optional and imported when a plot is drawn. Figures are built without pyplot: no global state, no display.
D hidden size, j a component, from 1.
"""

import io
from typing import Any

import numpy as np

from keytokens.pipelines.analysis.spectrum import Comparison, Spectrum

# Blue and vermillion of Okabe and Ito: told apart under every common colour blindness, and in grey.
EMBEDDER = "#0072B2"
BACKBONE = "#D55E00"
_REST = "#8A8F98"
_INK = "#24292F"
_GRID = "#D8DCE2"
_DASH_CENTRED = (0, (4, 2))
_SHOWN_COMPONENTS = 100
_PLAIN = "{x:g}"
_SIZE_INCHES = (6.4, 4.0)
_DOTS_PER_INCH = 200


def plot_spectrum(
    embedder: Spectrum, *, backbone: Spectrum | None = None, comparison: Comparison | None = None
) -> dict[str, bytes]:
    """File name -> PNG: singular values, explained variance and, given a comparison, variation and principal angles.

    Args:
      embedder: f.
      backbone: g, drawn into the same plots.
      comparison: of f against g.

    Raises:
      ImportError: matplotlib is not installed.
    """
    models = [("embedder", embedder, EMBEDDER)]
    if backbone is not None:
        models.append(("backbone", backbone, BACKBONE))
    plots = {"singular_values.png": _singular_values(models), "explained_variance.png": _explained_variance(models)}
    if comparison is not None:
        rank = backbone.rank if backbone is not None else len(comparison.variation)
        plots["variation.png"] = _variation(comparison, comparison.variation[: min(rank, _SHOWN_COMPONENTS)])
        plots["principal_angles.png"] = _principal_angles(comparison)
    return {name: _png(figure) for name, figure in plots.items()}


def _singular_values(models: list[tuple[str, Spectrum, str]]) -> Any:
    figure, axes = _figure("Singular values, not centred", "component j (log)", "singular value of H (log)")
    axes.set(xscale="log", yscale="log")
    axes.xaxis.set_major_formatter(_PLAIN)
    for name, spectrum, colour in models:
        values = spectrum.singular_values[: spectrum.rank]
        label = f"{name}: effective rank {spectrum.effective_rank:.1f}"
        axes.plot(np.arange(1, len(values) + 1), values, color=colour, label=label, **_line(colour, len(values)))
    axes.legend(frameon=False, loc="lower left")
    return figure


def _explained_variance(models: list[tuple[str, Spectrum, str]]) -> Any:
    figure, axes = _figure("Cumulative explained variance", "leading components (log)", "share of variance")
    axes.set(xscale="log", ylim=(0, 1.03))
    for name, spectrum, colour in models:
        for ratio, dash, label in (
            (spectrum.explained_variance_ratio, "-", name),
            (spectrum.centred_explained_variance_ratio, _DASH_CENTRED, f"{name}, centred"),
        ):
            components = np.arange(1, len(ratio) + 1)
            axes.plot(components, np.cumsum(ratio), color=colour, label=label, **_line(colour, len(ratio), dash))
    axes.xaxis.set_major_formatter(_PLAIN)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.legend(frameon=False, loc="lower right")
    return figure


def _variation(comparison: Comparison, values: np.ndarray) -> Any:
    figure, axes = _figure(
        "What changes from backbone to embedder", "component j of the backbone", r"variation $v_j$ (unit of h)"
    )
    axes.axhline(0, color=_INK, linewidth=0.8)
    for bars, colour, label in (
        (slice(0, 1), BACKBONE, rf"$v_1$, in size {comparison.dominance:.1f} times the largest other"),
        (slice(1, None), _REST, r"$v_j,\ j > 1$"),
    ):
        axes.bar(np.arange(1, len(values) + 1)[bars], values[bars], width=0.8, color=colour, label=label)
    axes.set_xlim(0, len(values) + 1)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, loc="best")
    return figure


def _principal_angles(comparison: Comparison) -> Any:
    angles = np.degrees(comparison.principal_angles_rad)
    title = f"Angles between the leading {len(angles)} components; linear CKA {comparison.linear_cka:.3f}"
    figure, axes = _figure(title, "principal angle, smallest first", "degrees (90: nothing shared)")
    axes.set(ylim=(0, 95), yticks=range(0, 91, 15), xlim=(0.2, len(angles) + 0.8))
    axes.axhline(90, color=_REST, linewidth=1.2)
    axes.plot(np.arange(1, len(angles) + 1), angles, color=EMBEDDER, marker="o", linewidth=1.4, markersize=5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _line(colour: str, num_points: int, dash: Any = "-") -> dict[str, Any]:
    """A lone point is invisible as a line, so it gets a marker; the backbone's line is drawn thinner, on top."""
    marker = {"marker": "o"} if num_points == 1 else {}
    return {"linestyle": dash, "linewidth": 2.0 if colour == EMBEDDER else 1.4, **marker}


def _figure(title: str, x_label: str, y_label: str) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as e:
        raise ImportError(
            "matplotlib is not installed, so no plot can be drawn; numbers and report do not need it. "
            "For plots: pip install 'keytokens[demo]'."
        ) from e
    figure = Figure(figsize=_SIZE_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", color=_INK, fontsize=11, fontweight="bold")
    axes.set_xlabel(x_label, color=_INK)
    axes.set_ylabel(y_label, color=_INK)
    axes.grid(True, color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_REST)
    axes.tick_params(colors=_INK, labelsize=9)
    return figure, axes


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    # Without the version of matplotlib the same spectrum is more often the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
