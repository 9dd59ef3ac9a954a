"""How long the LM head with top-k takes, as a multiple of the float32 matmul that only writes the logits.

    python tests/benchmarks/kernel.py --shapes=minilm,qwen3-0.6b --batches=8,128,1024 --ks=10,100,256,1000
    python tests/benchmarks/kernel.py --memory --shapes=memory --batches=4096

All contestants run in turn, round after round, and each is divided by the matmul of its own round; a cell of the table
holds the medians of these ratios, of wall time and, in brackets, of CPU time over all threads. Both are needed: the
matmul runs on all cores, `lax.top_k` on one, so that CPU time alone flatters whatever waits for it; wall time alone
means little on a busy machine: "others" is the share of the cores' time that other processes took. Peak extra memory in
MB (--memory) comes from a fresh process for each contestant. Rivals that are not installed are reported as such.
Without flags: the six named shapes, 8 and 128 texts, k = 100, about ten minutes on two cores; 1,024 texts take eight
times as long as 128.
"""

import argparse
import ctypes
import dataclasses
import importlib
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from keytokens.kernels import aligned_topk, prepare_head

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from tests.benchmarks.race import environment

SHAPES = {  # D, V
    "minilm": (384, 30522),
    "gpt-neo-125m": (768, 50257),
    "gpt-neo-1.3b": (2048, 50257),
    "llama-7b": (4096, 32000),
    "qwen3-0.6b": (1024, 151936),
    "gemma-300m": (768, 262144),
    "memory": (768, 151936),  # the shape of the memory target, at 4,096 rows
}
SAMPLE_SEC = 0.05  # what takes less is run several times in a round
Run = Callable[[], Any]


class NotInstalled(Exception):
    """A rival's package is missing."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of the table."""

    shape: str
    batch: int
    k: int

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Hidden [B, D] and head [V, D], normal."""
        dim, vocabulary = SHAPES[self.shape]
        rng = np.random.default_rng(0)
        return rng.standard_normal((self.batch, dim), np.float32), rng.standard_normal((vocabulary, dim), np.float32)


def matmul(case: Case, hidden: np.ndarray, head: np.ndarray, dtype: Any = jnp.float32) -> Run:
    """XLA's product alone, logits written in float32."""
    del case
    function = jax.jit(lambda h, e: lax.dot_general(h, e, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32))
    arrays = _on_device(hidden, head, dtype)
    return lambda: jax.block_until_ready(function(*arrays))


def matmul_bfloat16(case: Case, hidden: np.ndarray, head: np.ndarray) -> Run:
    """XLA's product alone in bfloat16, which is not exact."""
    return matmul(case, hidden, head, jnp.bfloat16)


def naive(case: Case, hidden: np.ndarray, head: np.ndarray) -> Run:
    """What one writes first: jit(lax.top_k(h @ E.T)), holding [B, V]."""
    function = jax.jit(lambda h, e: lax.top_k(h @ e.T, case.k))
    arrays = _on_device(hidden, head)
    return lambda: jax.block_until_ready(function(*arrays))


def ours(implementation: str | None, **options: Any) -> Callable[[Case, np.ndarray, np.ndarray], Run]:
    """`aligned_topk` with a prepared head."""

    def build(case: Case, hidden: np.ndarray, head: np.ndarray) -> Run:
        rows, weight = _on_device(hidden, head)
        prepared = jax.block_until_ready(prepare_head(weight, implementation=implementation))
        select = lambda: aligned_topk(rows, prepared, case.k, implementation=implementation, **options)  # noqa: E731
        return lambda: jax.block_until_ready(select())

    return build


def with_torch(case: Case, hidden: np.ndarray, head: np.ndarray) -> Run:
    """torch.topk(h @ E.T), float32."""
    torch = _rival("torch")
    rows, weight = torch.from_numpy(hidden), torch.from_numpy(head)
    return lambda: torch.topk(rows @ weight.T, case.k)


def with_faiss(case: Case, hidden: np.ndarray, head: np.ndarray) -> Run:
    """faiss.IndexFlatIP."""
    index = _rival("faiss").IndexFlatIP(head.shape[1])
    index.add(head)
    return lambda: index.search(hidden, case.k)


def with_numpy(case: Case, hidden: np.ndarray, head: np.ndarray) -> Run:
    """numpy: argpartition of h @ E.T, then a sort of the k."""

    def run() -> np.ndarray:
        logits = hidden @ head.T
        best = np.argpartition(logits, -case.k, axis=1)[:, -case.k :]
        order = np.argsort(-np.take_along_axis(logits, best, 1), axis=1)
        return np.take_along_axis(best, order, 1)

    return run


CONTESTANTS = {
    "matmul": matmul,
    "matmul bf16": matmul_bfloat16,
    "default": ours(None),
    "xla": ours("xla"),
    "xla+logsumexp": ours("xla", with_logsumexp=True),
    "screened": ours("screened"),
    "cpu_ffi": ours("cpu_ffi"),
    "cpu_ffi+logsumexp": ours("cpu_ffi", with_logsumexp=True),
    "naive jit": naive,
    "torch": with_torch,
    "faiss": with_faiss,
    "numpy": with_numpy,
}


def measure(case: Case, names: list[str], rounds: int) -> dict[str, str | None]:
    """A cell for each contestant: medians over rounds of its time over the matmul's; None where it is not installed.

    The matmul itself is given in milliseconds.
    """
    hidden, head = case.arrays()
    runs: dict[str, Run | None] = {}
    for name in dict.fromkeys(["matmul", *names]):
        try:
            runs[name] = CONTESTANTS[name](case, hidden, head)
        except NotInstalled:
            runs[name] = None
    ready = {name: run for name, run in runs.items() if run is not None}
    for run in ready.values():
        run()
    repeats = {name: max(1, round(SAMPLE_SEC / _time(run)[0])) for name, run in ready.items()}
    busy, own, start = _busy_sec(), time.process_time(), time.perf_counter()
    times = [{name: _time(run, repeats[name]) for name, run in ready.items()} for _ in range(rounds)]
    others = _busy_sec() - busy - (time.process_time() - own)
    others /= (time.perf_counter() - start) * (os.cpu_count() or 1)
    cells = {
        name: _cell(*(statistics.median(a_round[name][i] / a_round["matmul"][i] for a_round in times) for i in (0, 1)))
        for name in ready
    }
    cells["matmul"] = "{:.1f} ({:.1f})".format(
        *(1e3 * statistics.median(a_round["matmul"][i] for a_round in times) for i in (0, 1))
    )
    return {name: cells.get(name) for name in runs} | {"others": f"{max(0.0, others):.0%}"}


def extra_memory_mb(case: Case, name: str) -> float:
    """Peak resident memory of the first run above what was resident before it, inputs and the prepared head.

    To be called in a process that has run nothing else: XLA keeps the memory of a run for the next, so that a second
    run shows none. Compilation is therefore part of it; a run with few texts and tokens has loaded the compiler before.
    """
    hidden, head = case.arrays()
    CONTESTANTS[name](case, hidden[:8], head[:4096])()
    run = CONTESTANTS[name](case, hidden, head)
    ctypes.CDLL(None).malloc_trim(0)
    clear, status = pathlib.Path("/proc/self/clear_refs"), pathlib.Path("/proc/self/status")
    clear.write_text("5")  # resets the peak
    before = _kilobytes(status, "VmRSS")
    run()
    return (_kilobytes(status, "VmHWM") - before) / 1024


def _kilobytes(status: pathlib.Path, field: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(field))


def _time(run: Run, repeats: int = 1) -> tuple[float, float]:
    """Seconds of wall time and of CPU time of one run, the mean of so many."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - wall) / repeats, (time.process_time() - cpu) / repeats


def _busy_sec() -> float:
    """CPU time of all processes since the machine started; Linux only, elsewhere of this one."""
    stat = pathlib.Path("/proc/stat")
    if not stat.exists():
        return time.process_time()
    user, nice, system, *_ = map(int, stat.read_text().split()[1:8])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def _cell(wall: float, cpu: float) -> str:
    return f"{wall:.2f} ({cpu:.2f})"


def _on_device(hidden: np.ndarray, head: np.ndarray, dtype: Any = jnp.float32) -> tuple[jax.Array, jax.Array]:
    """Both arrays, there: a copy that is still under way would count as memory of the first run."""
    arrays: tuple[jax.Array, jax.Array] = jax.block_until_ready((jnp.asarray(hidden, dtype), jnp.asarray(head, dtype)))
    return arrays


def _rival(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as e:
        raise NotInstalled(package) from e


def _memory_in_fresh_process(case: Case, name: str) -> str | None:
    command = [sys.executable, __file__, "--one_memory", json.dumps([dataclasses.asdict(case), name])]
    ran = subprocess.run(command, capture_output=True, text=True)
    return f"{float(ran.stdout):.0f}" if ran.returncode == 0 else None


def header() -> str:
    """When, on what and with which versions."""
    devices = jax.devices()
    return f"{environment.line(environment.describe())}, {len(devices)} of JAX's {devices[0].device_kind}"


def table(rows: list[tuple[Case, dict[str, str | None]]], names: list[str]) -> str:
    """Markdown: one case a line."""
    shown = [name for name in names if name != "matmul"]
    lines = [
        "| shape D x V | B | k | others | matmul, ms | " + " | ".join(shown) + " |",
        "|---" * (5 + len(shown)) + "|",
    ]
    for case, values in rows:
        dim, vocabulary = SHAPES[case.shape]
        cells = [values.get(name) or "not installed" for name in shown]
        start = [f"{case.shape} {dim} x {vocabulary}", str(case.batch), str(case.k)]
        start += [values.get(column) or "-" for column in ("others", "matmul")]
        lines.append("| " + " | ".join(start + cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measures the product of shapes, batches and ks, printing the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="minilm,gpt-neo-125m,gpt-neo-1.3b,llama-7b,qwen3-0.6b,gemma-300m")
    parser.add_argument("--batches", default="8,128", help="texts at once")
    parser.add_argument("--ks", default="100", help="kept tokens")
    parser.add_argument("--only", default=",".join(CONTESTANTS), help="contestants, by comma")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="measure peak extra memory (MB) instead of time")
    parser.add_argument("--output", type=pathlib.Path, help="write the table there, too")
    parser.add_argument("--one_memory", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.one_memory:
        case, name = json.loads(flags.one_memory)
        print(extra_memory_mb(Case(**case), name))
        return
    names = flags.only.split(",")
    rows = []
    sizes = itertools.product(
        flags.shapes.split(","), map(int, flags.batches.split(",")), map(int, flags.ks.split(","))
    )
    print(header(), flush=True)
    for shape, batch, k in sizes:
        case = Case(shape, batch, k)
        if flags.memory:
            rows.append((case, {name: _memory_in_fresh_process(case, name) for name in names}))
        else:
            rows.append((case, measure(case, names, flags.rounds)))
        print(table(rows[-1:], names).split("\n")[-1] if len(rows) > 1 else table(rows, names), flush=True)
    if flags.output:
        flags.output.write_text(header() + "\n\n" + table(rows, names) + "\n")


if __name__ == "__main__":
    main()
