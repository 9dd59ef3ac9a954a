"""What is a contestant? A way to turn a workload's texts into vectors, and what it leaves to be checked."""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks.race.subjects import Subject
from tests.benchmarks.race.workloads import Workload


class NotInstalled(Exception):
    """A contestant's package is missing."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run leaves behind.

    Attributes:
      vectors: [n, D], of any length; None where the run does not return them.
      key_tokens: reads the ten best tokens of each text, int [n, 10], where the run has worked them out itself.
      computed_tokens: positions computed, padding included; None where it cannot be known.
    """

    vectors: np.ndarray | None = None
    key_tokens: Callable[[], np.ndarray] | None = None
    computed_tokens: int | None = None


Run = Callable[[Workload], Outcome]


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A line of the table.

    Attributes:
      name: of the table.
      kind: "ours" and "rival" embed; "whole" goes from a file to a store; "floor" multiplies matrices only.
      build: loads the model; raises NotInstalled.
      subject: the only model that it is for; "" for all.
      exact: its vectors must agree with the reference. One that is not exact is shown, and compared with, but what is
        faster than all rivals need not be faster than it.
    """

    name: str
    kind: str
    build: Callable[[Subject], Run]
    subject: str = ""
    exact: bool = True


def package(name: str) -> Any:
    """The module `name`.

    Raises:
      NotInstalled: there is none.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotInstalled(name) from error
