"""Figures as files for papers and slides: PNG and SVG."""

import io
import pathlib
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from keytokens.pipelines.figures.literal_text import literal

_DOTS_PER_INCH = 200


def png(figure: Figure) -> bytes:
    """The figure as PNG; the same figure is the same bytes under one version of matplotlib."""
    buffer = io.BytesIO()
    literal(figure).savefig(buffer, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: Figure, *, transparent: bool = False) -> str:
    """The figure as an SVG document, its text as text."""
    buffer = io.StringIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "keytokens"}
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context(settings):
        literal(figure).savefig(buffer, format="svg", metadata=nothing, transparent=transparent)
    return buffer.getvalue()


def write(stem: pathlib.Path, figure: Figure) -> None:
    """Writes STEM.png and STEM.svg."""
    stem.with_suffix(".png").write_bytes(png(figure))
    stem.with_suffix(".svg").write_text(svg(figure), "utf-8")
