"""A figure as markup inside a page: no size of its own, no colours of its own, no name that another figure has."""

import html
import re

from matplotlib.figure import Figure

from keytokens.pipelines.figures import files, theme

# What the page's style sheet calls each colour.
VARIABLES = {
    theme.INK: "--ink",
    theme.SOFT: "--soft",
    theme.RULE: "--rule",
    theme.FIRST: "--first",
    theme.SECOND: "--second",
    theme.THIRD: "--third",
    theme.FOURTH: "--fourth",
}
_HEAD = re.compile(r'<svg [^>]*viewBox="([^"]*)"[^>]*>')


def markup(figure: Figure, key: str) -> tuple[str, str]:
    """(title, SVG element) of a figure; the title is taken off it, for the page says it in a heading.

    Args:
      figure: drawn by one of the modules beside this one.
      key: an identifier that no other figure of the page has.
    """
    title = figure.get_suptitle()
    figure.suptitle("")
    source = files.svg(figure, transparent=True)
    figure.suptitle(title, x=0.01, ha="left")
    # From here on it is part of an HTML page: no XML prolog, no metadata, no rules for every element.
    source = source[source.index("<svg ") :]
    source = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", source, flags=re.DOTALL)
    box = _HEAD.match(source)
    assert box is not None
    label = html.escape(title, quote=True)
    source = _HEAD.sub(f'<svg viewBox="{box[1]}" class="chart" role="img" aria-label="{label}">', source, count=1)
    source = re.sub(r'\bid="', f'id="{key}-', source)
    source = re.sub(r'(xlink:href="#|url\(#)', rf"\1{key}-", source).replace("xlink:href", "href")
    source = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", re.sub(r"font-family: [^;\"]*;? ?", "", source))
    for colour, variable in VARIABLES.items():
        source = source.replace(colour, f"var({variable})")
    return title, source.strip()
