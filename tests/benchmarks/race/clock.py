"""How long did it take, and was the machine ours meanwhile? Wall clock, own CPU time, and what others took."""

import dataclasses
import gc
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

# Threads of PyTorch and onnxruntime spin for a while after their work.
_REST_SEC = 0.1


@dataclasses.dataclass(frozen=True)
class Timed:
    """One turn.

    Attributes:
      seconds: of the wall clock.
      cpu_seconds: of this process, over all threads.
      others: the share of all cores that other processes took meanwhile.
    """

    seconds: float
    cpu_seconds: float
    others: float


def timed(run: Callable[[], Any], *, most_others: float, tries: int) -> Timed:
    """The first turn during which others took at most this share of the cores, else the least disturbed of the tries.

    Competing work does not slow all contestants alike: OpenMP's barriers wait for the last thread, and torch has been
    seen to lose a factor of ten where XLA lost two.
    """
    turns: list[Timed] = []
    while not turns or (turns[-1].others > most_others and len(turns) < tries):
        gc.collect()
        time.sleep(_REST_SEC)
        before, busy_before = (time.perf_counter(), time.process_time()), _busy_seconds()
        run()
        seconds, cpu_seconds = time.perf_counter() - before[0], time.process_time() - before[1]
        others = (_busy_seconds() - busy_before - cpu_seconds) / (seconds * (os.cpu_count() or 1))
        turns.append(Timed(seconds, cpu_seconds, max(0.0, others)))
    return min(turns, key=lambda turn: turn.others)


def _busy_seconds() -> float:
    """CPU time that all processes have taken since the machine started, idling and waiting for disks left out."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
