"""Where is the run? A line on the terminal, read from the units' markers: the truth on every runner."""

import sys
import threading
import time
from types import TracebackType
from typing import IO, Self

from keytokens.pipelines import align_run
from keytokens.pipelines.store import files as store_files
from keytokens.pipelines.store import run_state


class Progress:
    """Prints units and texts done, texts/s and time left while a pipeline runs in the body of the `with`.

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
        self._rows: dict[int, int] = {}  # unit -> rows, of units seen to be done
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._rows_before = sum(self._rows.values())
        self._start = time.monotonic()
        if self._rows_before:
            self._stream.write(f"resuming: {self.line()}\n")
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
        dims = self._run.dims
        rows = sum(self._rows.values())
        text = f"{len(self._rows)}/{dims.num_units} units, {rows:,}/{dims.num_rows:,} texts"
        seconds = time.monotonic() - getattr(self, "_start", time.monotonic())
        new = rows - getattr(self, "_rows_before", rows)
        if new and seconds > 0:
            rate = new / seconds
            text += f", {rate:,.0f} texts/s, {_duration((dims.num_rows - rows) / rate)} left"
        return text

    def _watch(self) -> None:
        while not self._stop.wait(self._interval_sec):
            self._look()
            self._print(end="" if self._terminal else "\n")

    def _look(self) -> None:
        for unit in run_state.finished_units(self._files):
            if unit not in self._rows:
                marker = run_state.read_marker(self._files, unit, self._run.identity_sha256)
                if marker is not None:
                    self._rows[unit] = marker.rows

    def _print(self, *, end: str) -> None:
        clear = "\r\x1b[K" if self._terminal else ""
        self._stream.write(f"{clear}{self.line()}{end}")
        self._stream.flush()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
