"""What moves, and what the model comes to say, while a backbone becomes an embedder?"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from keytokens.pipelines.figures import theme

_SHOWN_COMPONENTS = 8
_SHARES = {
    "content_hit_at_10": "content Hit@10",
    "sts_spearman": "Spearman on scored pairs",
    "stop_share_of_10": "stop words among 10",
    "shuffled_content_hit_at_10": "content Hit@10, texts shuffled",
}


def variation(points: Sequence[Mapping[str, Any]]) -> Figure:
    """The variations v_j along the backbone's leading components against the steps; v_1 stands out.

    Args:
      points: of trajectory.jsonl, with step and variation.
    """
    drawn, axes = theme.figure(theme.Labels("Variation along a training", "steps", "variation v_j (unit of h)"))
    steps = [point["step"] for point in points]
    shown = min([_SHOWN_COMPONENTS, *(len(point["variation"]) for point in points)])
    for component in reversed(range(shown)):
        first = component == 0
        axes.plot(
            steps,
            [point["variation"][component] for point in points],
            color=theme.FIRST if first else theme.SOFT,
            linewidth=2.0 if first else 0.9,
            label="v_1" if first else f"v_2 to v_{shown}" if component == 1 else None,
        )
    theme.legend(axes)
    return drawn


def shares(points: Sequence[Mapping[str, Any]]) -> Figure:
    """Content Hit@10 with its shuffled control, the share of stop words, and Spearman where it was measured."""
    drawn, axes = theme.figure(theme.Labels("Key tokens along a training", "steps", "share, correlation"))
    for (name, label), colour, dash in zip(_SHARES.items(), theme.COLOURS, theme.DASHES, strict=True):
        if points and all(name in point for point in points):
            values = [point[name] for point in points]
            axes.plot([point["step"] for point in points], values, color=colour, linestyle=dash, label=label)
    axes.set_ylim(0, 1.02)
    theme.legend(axes)
    return drawn
