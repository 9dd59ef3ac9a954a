"""What happens to a backbone's key tokens as its leading components move?"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from keytokens.pipelines.figures import theme

# Column of a sweep's rows -> what a figure calls it, and its axis.
METRICS = {
    "hit": ("Hit@K by shift", "Hit@K"),
    "content_hit": ("Hit@K on content tokens by shift", "Hit@K, content only"),
    "lar": ("LAR by shift", "LAR"),
    "gar": ("GAR by shift", "GAR"),
    "stop_share": ("Stop words and punctuation by shift", "share of the K best"),
    "overlap": ("Key tokens shared with the embedder by shift", "Jaccard index of the K best"),
}


def curves(rows: Sequence[Mapping[str, Any]], metric: str, *, embedder: float | None = None) -> Figure:
    """One metric of the adjusted backbone against lambda_1, a line for each number of moved components.

    Args:
      rows: of the sweep: leading, factor, shift and the metrics, with their intervals as METRIC_low and METRIC_high.
      metric: a key of METRICS.
      embedder: the embedder's own value, drawn across.
    """
    title, name = METRICS[metric]
    drawn, axes = theme.figure(theme.Labels(title, "shift, in units of v", name))
    theme.plain_numbers(axes.xaxis)
    for index, leading in enumerate(sorted({row["leading"] for row in rows})):
        line = sorted(
            (row for row in rows if row["leading"] == leading or row["factor"] == 0.0), key=lambda row: row["factor"]
        )
        line = [row for row in line if row[metric] is not None]
        colour, x = theme.COLOURS[index % 4], [row["factor"] for row in line]
        label = "first component" if leading == 1 else f"first {leading}"
        dash = theme.DASHES[index % 4]
        axes.plot(x, [row[metric] for row in line], color=colour, linestyle=dash, marker="o", markersize=3, label=label)
        low, high = ([row[f"{metric}_{end}"] for row in line] for end in ("low", "high"))
        if all(value is not None for value in (*low, *high)):
            axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
    if embedder is not None:
        axes.axhline(embedder, color=theme.INK, linewidth=1, linestyle=(0, (2, 2)), label="the embedder itself")
    axes.set_ylim(0, None)
    axes.axvline(1.0, color=theme.SOFT, linewidth=0.8)
    theme.legend(axes)
    return drawn
