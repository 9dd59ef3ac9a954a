"""Colour on a terminal, where there is one that shows it."""

import os
import sys
from typing import TextIO

from keytokens.pipelines import tables
from keytokens.pipelines.report import terminal

_CODES = {"bold": "1", "soft": "2", "own": "1;33", "added": "36", "up": "32", "down": "31"}
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def wanted(stream: TextIO | None = None) -> bool:
    """Whether to colour: on a terminal, unless NO_COLOR is set (no-color.org); FORCE_COLOR colours everywhere."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream or sys.stdout).isatty()


def paint(text: str, style: str, *, on: bool) -> str:
    """The text in a style; as it is where colour is off. What it holds is made printable first."""
    shown = terminal.printable(text)
    return f"\x1b[{_CODES[style]}m{shown}\x1b[0m" if on and shown else shown


def column(text: str, columns: int, style: str, *, on: bool, right: bool = False) -> str:
    """The text painted and filled up to `columns`: colour takes no room."""
    return paint(tables.padded(terminal.printable(text), columns, right=right), style, on=on)


def bar(share: float, columns: int) -> str:
    """A bar of block characters, an eighth of a column fine, for a share of 1."""
    eighths = round(8 * columns * min(1.0, max(0.0, share)))
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def highlighted(text: str, spans: tuple[tuple[int, int, int], ...], *, on: bool) -> str:
    """The text with its key tokens painted where they stand; between stars where colour is off."""
    pieces, end = [], 0
    for start, stop, _ in spans:
        pieces.append(terminal.printable(text[end:start]))
        pieces.append(paint(text[start:stop], "own", on=True) if on else f"*{terminal.printable(text[start:stop])}*")
        end = stop
    return "".join([*pieces, terminal.printable(text[end:])])
