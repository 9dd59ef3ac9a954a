"""JSON lines, one object a line, as all line formats here write them."""

import json
import pathlib
from collections.abc import Iterable
from typing import Any


def write(path: pathlib.Path, records: Iterable[Any]) -> int:
    """Writes the records, UTF-8 without escapes, and returns how many."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
            count += 1
    return count
