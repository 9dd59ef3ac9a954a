"""HTML that cannot be forgotten to be escaped: every plain string is text, only `Html` is markup.

A report shows what a corpus and a vocabulary hold, and both may hold anything: markup, quotes, control characters, lone
surrogates. All of it becomes visible text of a valid UTF-8 document.
"""

import html
import re
from collections.abc import Iterable

_VOID = frozenset({"meta", "input"})
_PLANE_ENDS = "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
# What HTML forbids or a browser swallows: controls but tab and newline, surrogates, noncharacters. And the overrides of
# direction, which would print the rest of a text backwards.
_UNPRINTABLE = re.compile(
    f"[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202d\\u202e\\ud800-\\udfff\\ufdd0-\\ufdef{_PLANE_ENDS}]"
)


class Html(str):
    """Markup, inserted as it is."""

    __slots__ = ()


Content = str | Iterable["Content"] | None


def visible(text: str) -> str:
    """The text with a picture for each control character ('␀', '␍') and U+FFFD for whatever else cannot be shown."""
    return _UNPRINTABLE.sub(lambda match: _picture(ord(match[0])), text)


def _picture(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"


def escape(text: str) -> Html:
    """The text as markup that shows it, inside an element or a quoted attribute."""
    return Html(html.escape(visible(text), quote=True))


def join(content: Content) -> Html:
    """The contents one after another, text escaped; None is nothing."""
    if content is None:
        return Html()
    if isinstance(content, Html):
        return content
    if isinstance(content, str):
        return escape(content)
    return Html("".join(map(join, content)))


def tag(name: str, *content: Content, **attributes: str | float | bool | None) -> Html:
    """An element, `tag("p", "1 < 2", class_="note")`.

    Attribute names lose a trailing underscore, other underscores become dashes. None and False leave an attribute out,
    True writes its name alone.
    """
    pairs = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        pairs.append(f" {key}" if value is True else f' {key}="{escape(str(value))}"')
    start = f"<{name}{''.join(pairs)}>"
    return Html(start) if name in _VOID else Html(f"{start}{join(content)}</{name}>")
