"""How far down the list of key tokens do texts find their own?"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from keytokens.pipelines.figures import theme


def sweep(rows: Sequence[Mapping[str, Any]], *, metric: str = "hit") -> Figure:
    """Hit@K against K, of texts and of their control, a colour a model.

    Args:
      rows: with model, against ("own", "content", "shuffled", "shuffled_content"), k and the metric.
      metric: "hit", "lar" or "gar".
    """
    name = {"hit": "Hit@K", "lar": "LAR at K", "gar": "GAR at K"}[metric]
    drawn, axes = theme.figure(theme.Labels(f"{name} by K", "K key tokens (log)", name))
    axes.set_xscale("log")
    theme.plain_numbers(axes.xaxis)
    models = list(dict.fromkeys((row["store"], row["model"]) for row in rows))
    shown = {
        "own": "own tokens",
        "content": "content only",
        "shuffled": "another text's",
        "shuffled_content": "its content",
    }
    for index, (store, model) in enumerate(models):
        for dash, (against, label) in zip(theme.DASHES, shown.items(), strict=True):
            line = [row for row in rows if row["store"] == store and row["against"] == against]
            axes.plot(
                [row["k"] for row in line],
                [row[metric] for row in line],
                color=theme.COLOURS[(index if len(models) > 1 else list(shown).index(against)) % 4],
                linestyle=dash,
                marker="o",
                markersize=2.5,
                label=f"{model}, {label}" if len(models) > 1 else label,
            )
    axes.set_ylim(0, 1.02 if metric == "hit" else None)
    if rows:
        theme.legend(axes)
    return drawn
