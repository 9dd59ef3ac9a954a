"""A tensor in a file."""

import dataclasses
from collections.abc import Callable

import numpy as np

# What weights may be stored as; other formats (integers, eight bits) mean a quantised checkpoint.
READABLE = frozenset(("float32", "bfloat16", "float16", "float64"))


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """A tensor that has not been read yet.

    Attributes:
      shape: its sizes.
      dtype: numpy's name of its numbers' format, or the file's own name of one that is not readable.
      read: returns it; every call reads the file anew, so nothing is kept in memory.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


def unreadable(name: str, tensor: StoredTensor) -> list[str]:
    """What is wrong with the format of the tensor's numbers: one line, or none."""
    if tensor.dtype in READABLE:
        return []
    return [f"{name} is stored as {tensor.dtype}, which is not a floating-point format that is read here"]
