"""What XLA compiles: kept on disk from one start of a program to the next, and how long it took.

JAX reads from environment variables where its cache lies, and worker processes inherit them: they share it without a
flag. JAX's key of an entry covers the program, the versions of JAX and XLA, and XLA's flags; that it also covers the
instructions that the CPU has is nowhere said, and code for another CPU may end in an illegal instruction. So machines
of different CPUs that share a home directory get a directory each.
"""

import contextlib
import hashlib
import os
import pathlib
import platform
import tempfile
import threading
from collections.abc import Mapping, MutableMapping
from typing import Any, NamedTuple

OFF = "off"
_DIRECTORY = "JAX_COMPILATION_CACHE_DIR"
_ENABLED = "JAX_ENABLE_COMPILATION_CACHE"
# JAX keeps by itself only what compiled for a second or more, which of the small embedders' programs is one in ten.
_THRESHOLDS = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
}
_MOST_BYTES = 1 << 30  # an entry of MiniLM is 50 kB; JAX's own limit locks the directory at every read


def use_cache(asked: str | None, environment: MutableMapping[str, str] = os.environ) -> str | None:
    """Makes JAX keep what it compiles; before JAX is imported. Returns a warning where that cannot be had.

    Args:
      asked: a directory, "off", or None for what the environment says and else the user's cache directory.
      environment: of this process and of those that it starts.
    """
    if asked == OFF:
        environment[_ENABLED] = "false"
        return None
    if asked is None and (_DIRECTORY in environment or _ENABLED in environment):
        return None
    try:
        directory = (pathlib.Path(asked) if asked else default_directory(environment)) / _cpu()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home directory
        return (
            f"compiled programs cannot be kept ({error}), so every start compiles anew, which takes seconds. Give a "
            f"directory that can be written as --compilation_cache=DIRECTORY, or --compilation_cache={OFF}."
        )
    _forget_oldest(directory, _MOST_BYTES)
    environment.update({_DIRECTORY: str(directory), _ENABLED: "true"})
    for name, value in _THRESHOLDS.items():
        environment.setdefault(name, value)
    return None


def default_directory(environment: Mapping[str, str] = os.environ) -> pathlib.Path:
    """Where the user's caches lie."""
    base = environment.get("XDG_CACHE_HOME")
    return (pathlib.Path(base) if base else pathlib.Path.home() / ".cache") / "keytokens" / "xla"


def _cpu() -> str:
    """A name for the instructions that this CPU has."""
    has = platform.machine() + platform.processor()
    with contextlib.suppress(OSError):
        lines = pathlib.Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        has += "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    return hashlib.sha256(has.encode()).hexdigest()[:12]


def _forget_oldest(directory: pathlib.Path, most_bytes: int) -> None:
    """Deletes the oldest entries until half of `most_bytes` is left, if there is more; others may do so meanwhile."""
    found = []
    for path in directory.iterdir():
        with contextlib.suppress(OSError):
            stat = path.stat()
            found.append((stat.st_mtime, stat.st_size, path))
    kept = sum(size for _, size, _ in found)
    if kept <= most_bytes:
        return
    for _, size, path in sorted(found):
        if kept <= most_bytes // 2:
            return
        with contextlib.suppress(OSError):
            path.unlink()
            kept -= size


class Compiled(NamedTuple):
    """What was compiled.

    Attributes:
      programs: how many, those from the cache included.
      from_cache: how many the cache had.
      msec: what both took, in milliseconds, tracing not included.
    """

    programs: int
    from_cache: int
    msec: int


class CompileClock:
    """Counts what this process compiles, from its first `start` on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = False
        self._programs = self._from_cache = 0
        self._seconds = 0.0

    def start(self) -> None:
        """Listens from now on; again is harmless."""
        import jax.monitoring  # here: a program that compiles nothing needs no JAX

        with self._lock:
            if self._started:
                return
            self._started = True
        jax.monitoring.register_event_duration_secs_listener(self._on_duration)
        jax.monitoring.register_event_listener(self._on_event)

    def take(self) -> Compiled:
        """What was compiled since the last `take`: whoever asks first, of several threads, gets it."""
        with self._lock:
            found = Compiled(self._programs, self._from_cache, round(1000 * self._seconds))
            self._programs = self._from_cache = 0
            self._seconds = 0.0
        return found

    def _on_duration(self, event: str, duration_secs: float, **unused: Any) -> None:
        # The event that stands around both compiling and reading the cache.
        if event == "/jax/core/compile/backend_compile_duration":
            with self._lock:
                self._programs += 1
                self._seconds += duration_secs

    def _on_event(self, event: str, **unused: Any) -> None:
        if event == "/jax/compilation_cache/cache_hits":
            with self._lock:
                self._from_cache += 1


CLOCK = CompileClock()


def render(found: Compiled) -> str:
    """A line for people."""
    return (
        f"compiling: {found.msec / 1000:.1f} s for {found.programs} programs, of which the compilation cache had "
        f"{found.from_cache}"
    )
