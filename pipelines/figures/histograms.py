"""How are values spread, and how do weights fall with rank?"""

import numpy as np
from matplotlib.figure import Figure

from keytokens.pipelines.figures import theme


def histogram(edges: np.ndarray, counts: np.ndarray, labels: theme.Labels, *, log_x: bool) -> Figure:
    """Bars from zero over their bins.

    Args:
      edges: [b + 1], ascending.
      counts: [b].
      labels: of the figure.
      log_x: for bins that grow by factors.
    """
    drawn, axes = theme.figure(labels)
    if log_x:
        axes.set_xscale("log")
    width = np.diff(edges)
    axes.bar(edges[:-1], counts, width=width, align="edge", color=theme.FIRST, edgecolor="none", linewidth=0)
    for axis in (axes.xaxis, axes.yaxis):
        theme.plain_numbers(axis)
    axes.set_xlim(edges[0], edges[-1])
    axes.margins(y=0.05)
    return drawn


def weight_by_rank(weights: np.ndarray) -> Figure:
    """Mean logit of the best, second best, ... key token, [k]."""
    drawn, axes = theme.figure(theme.Labels("Weight by rank", "rank of the key token (log)", "mean logit"))
    axes.set_xscale("log")
    theme.plain_numbers(axes.xaxis)
    theme.plain_numbers(axes.yaxis)
    marker = "o" if len(weights) == 1 else None
    axes.plot(np.arange(1, len(weights) + 1), weights, color=theme.FIRST, linewidth=2, marker=marker)
    return drawn
