"""The main job as its users start it: a process of its own, killed at will."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

from keytokens.pipelines import align_run
from tests import tiny_checkpoint

ROOT = pathlib.Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{ROOT}/.links:{ROOT}",
    "JAX_PLATFORMS": "cpu",
    "TOKENIZERS_PARALLELISM": "false",
    # Dozens of processes compile the same few programs.
    "JAX_COMPILATION_CACHE_DIR": str(pathlib.Path(tempfile.gettempdir()) / "keytokens_test_compilations"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    # Tools that start `python` themselves (Beam's worker pool) must find this one.
    "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
}


def command(asked: align_run.AlignOptions, *beam: str) -> list[str]:
    """align_corpus with these options, and Beam's."""
    return [
        *(sys.executable, "-m", "keytokens.pipelines.align_corpus"),
        f"--model={asked.model.directory}",
        f"--corpus={','.join(asked.corpus)}",
        f"--output={asked.output}",
        f"--k={asked.k}",
        f"--unit_rows={asked.unit_rows}",
        "--num_examples=0",
        *(["--save_embeddings"] if asked.save_embeddings else []),
        *(["--", *beam] if beam else []),
    ]


def start(asked: align_run.AlignOptions, *beam: str, **arguments) -> subprocess.Popen:
    """Starts the job; its output is piped."""
    return subprocess.Popen(
        command(asked, *beam),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        **{"env": ENVIRONMENT, **arguments},
    )


def finish(job: subprocess.Popen, *, timeout_sec: float = 240, status: int = 0) -> str:
    """What the job printed, once it has ended with this exit status."""
    printed, _ = job.communicate(timeout=timeout_sec)
    assert job.returncode == status, printed[-3000:]
    return printed


def kill(job: subprocess.Popen) -> None:
    """SIGKILL, at once."""
    job.send_signal(signal.SIGKILL)
    job.communicate()


def units_done(asked: align_run.AlignOptions) -> int:
    """Markers on disk."""
    units = pathlib.Path(asked.output) / "run" / "units"
    return len([path for path in units.glob("*.json") if re.fullmatch(r"\d+", path.stem)])


def wait_for_units(
    asked: align_run.AlignOptions, count: int, job: subprocess.Popen, *, timeout_sec: float = 120
) -> None:
    """Returns when so many units are done."""
    end = time.monotonic() + timeout_sec
    while units_done(asked) < count:
        assert job.poll() is None, job.communicate()[0][-3000:]
        assert time.monotonic() < end, f"{units_done(asked)} of {count} units after {timeout_sec} s"
        time.sleep(0.02)


def workers(pattern: str) -> list[int]:
    """Processes whose command line holds the pattern."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if pattern.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def write_short_documents(path: pathlib.Path, num_rows: int) -> pathlib.Path:
    """JSON lines of three to eleven words."""
    rng = np.random.default_rng(0)
    with path.open("w") as out:
        for row in range(num_rows):
            words = " ".join(rng.choice(tiny_checkpoint.WORDS, rng.integers(3, 12)))
            out.write(json.dumps({"_id": f"document-{row}", "text": words}) + "\n")
    return path


def peak_bytes(job: subprocess.Popen) -> int:
    """Resident memory of the job at its highest, once it has ended well.

    Read from the kernel while it runs: what wait4 reports begins at the size of this process, which forked it.
    """
    peak = 0
    while job.poll() is None:
        status = pathlib.Path(f"/proc/{job.pid}/status").read_text()
        if (found := re.search(r"VmHWM:\s+(\d+) kB", status)) is not None:
            peak = int(found[1]) * 1024
        time.sleep(0.02)
    finish(job)
    return peak
