"""A tensor in a file."""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """A tensor that has not been read yet.

    Attributes:
      shape: its sizes.
      read: returns it; every call reads the file anew, so nothing is kept in memory.
    """

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]
