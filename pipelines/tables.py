"""Tables: aligned columns for a terminal, CSV for other programs."""

import csv
import io
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any


def width_of(text: str) -> int:
    """Columns that the text takes on a terminal: two for East Asian wide characters, none for combining marks."""
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def padded(text: str, columns: int, *, right: bool = False) -> str:
    """The text filled with spaces to `columns` on a terminal."""
    space = " " * max(0, columns - width_of(text))
    return space + text if right else text + space


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Lines whose columns stand under each other: the first `left` from the left, the others from the right."""
    table = [header, *rows]
    widths = [max(width_of(row[column]) for row in table) for column in range(len(header))]
    return "\n".join(
        "  ".join(padded(cell, widths[i], right=i >= left) for i, cell in enumerate(row)).rstrip() for row in table
    )


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV with a header, keys in the order of their first appearance; floats in full."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
