"""Where is the run? A line on the terminal, read from the units' markers: the truth on every runner."""

import shutil
import sys
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import IO, Self

from keytokens.pipelines import align_run
from keytokens.pipelines.store import files as store_files
from keytokens.pipelines.store import run_state


class Progress:
    """Prints units, texts, rates, padding, dead letters and time left while a pipeline runs in the body of the `with`.

    A terminal also shows a bar. Rates are those of this launch; what an earlier one finished is not counted in them.

    Args:
      run: the run to watch.
      stream: where to print; a terminal gets one line that is rewritten, a file a line every half minute.
      interval_sec: seconds between looks; None chooses by the stream.
    """

    def __init__(self, run: align_run.AlignRun, *, stream: IO[str] = sys.stderr, interval_sec: float | None = None):
        self._run, self._stream = run, stream
        self._terminal = stream.isatty()
        self._interval_sec = interval_sec or (1.0 if self._terminal else 30.0)
        self._files = store_files.StoreFiles(run.output)
        self._done: dict[int, run_state.UnitMarker] = {}
        self._before: set[int] = set()  # units that an earlier launch finished
        self._start = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._before = set(self._done)
        self._start = time.monotonic()
        if self._before:
            self._stream.write(f"resuming: {self._place()}\n")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        self._print(end="\n")

    def line(self) -> str:
        """The progress so far in words."""
        text, rows = self._place(), self._sum("rows")
        if computed := self._sum("batch_tokens"):
            text += f", {1 - self._sum('real_tokens') / computed:.0%} padding"
        if dead_letters := self._sum("dead_letters"):
            text += f", {dead_letters:,} dead letters"
        seconds = time.monotonic() - self._start
        new = rows - self._sum("rows", self._before)
        if new and seconds > 0:
            tokens = self._sum("tokens") - self._sum("tokens", self._before)
            text += f", {new / seconds:,.0f} texts/s, {tokens / seconds:,.0f} tokens/s"
            text += f", {_duration((self._run.dims.num_rows - rows) * seconds / new)} left"
        return text

    def _place(self) -> str:
        dims = self._run.dims
        return f"{len(self._done)}/{dims.num_units} units, {self._sum('rows'):,}/{dims.num_rows:,} texts"

    def _sum(self, name: str, units: Iterable[int] | None = None) -> int:
        return sum(getattr(self._done[unit], name) for unit in (self._done if units is None else units))

    def _watch(self) -> None:
        while not self._stop.wait(self._interval_sec):
            self._look()
            self._print(end="" if self._terminal else "\n")

    def _look(self) -> None:
        for unit in run_state.finished_units(self._files):
            if unit not in self._done:
                marker = run_state.read_marker(self._files, unit, self._run.identity_sha256)
                if marker is not None:
                    self._done[unit] = marker

    def _print(self, *, end: str) -> None:
        shown = self.line()
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            bar = _bar(self._sum("rows"), self._run.dims.num_rows)
            # A line that wraps could not be rewritten.
            shown = f"\r\x1b[K{f'{bar} {shown}'[:width]}"
        self._stream.write(f"{shown}{end}")
        self._stream.flush()


def _bar(done: int, whole: int) -> str:
    """Ten cells."""
    cells = 10 * done // max(1, whole)
    return f"[{'#' * cells}{'.' * (10 - cells)}]"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
