"""Which words of a figure are shown as they are? All that it was given: no dollar sign in a name starts a formula."""

from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FuncFormatter


def literal(figure: Figure) -> Figure:
    """The figure, with its title, its legends and the names along its axes as they are spelled.

    Ticks that matplotlib numbers by itself stay as they are: on log axes it writes them as formulas.
    """
    shown = list(figure.texts)
    for axes in figure.axes:
        shown += [axes.xaxis.label, axes.yaxis.label]
        if (legend := axes.get_legend()) is not None:
            shown += legend.get_texts()
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter):  # of given labels
                shown += axis.get_ticklabels()
    for text in shown:
        text.set_parse_math(False)
    return figure
