"""Results as plain JSON: dataclasses, arrays and numbers that JSON does not know."""

import dataclasses
import json
import math
import pathlib
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """The value as JSON has it: dataclasses as objects, arrays as lists, what is not finite as null.

    Raises:
      TypeError: something else.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def text(value: Any) -> str:
    """The JSON of a result, one item a line."""
    return json.dumps(plain(value), indent=1, ensure_ascii=False) + "\n"


def write(path: pathlib.Path, value: Any) -> None:
    """Writes the JSON of a result."""
    path.write_text(text(value), "utf-8")
