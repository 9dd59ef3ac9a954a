"""What does a start cost? --help of every program, and the first text embedded, split into its parts.

  python tests/benchmarks/cold_start.py --model=all-minilm-l6-v2

Every figure is of fresh processes whose files are in the page cache: the median, and behind it the slowest. Two minutes
on two idle cores. Expect every --help under a second; with a filled compilation cache the first text comes about two
seconds earlier than without.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
TEXT = "How do I bake sourdough bread at home?"
# Run in a process of its own; prints seconds since the moment that it was started at, at the end of each part.
PARTS = """
import json, sys, time
model, text, started = sys.argv[1], sys.argv[2], float(sys.argv[3])
marks = {}
def mark(name): marks[name] = time.time() - started
mark("Python")
import jax, flax.nnx
mark("JAX, Flax")
from keytokens import models
from keytokens.pipelines import compilation, encoder
compilation.CLOCK.start()
encoder.kernels.aligned_topk, models.read_embedder, models.load_embedder  # which imports them
mark("our modules")
from keytokens.models.hugging_face import import_transformers
import_transformers().AutoTokenizer, import_transformers().AutoConfig
mark("transformers")
config = models.read_embedder(model)
mark("configuration, headers")
models.tokenizing.read_tokenizer(config.tokenizer_directory)
mark("tokenizer, once")
loaded = encoder.Encoder(config)
mark("weights, tokenizer")
compilation.CLOCK.take()
hidden = loaded.embed([text]).hidden
mark("first text embedded")
embedding = compilation.CLOCK.take()
loaded.align(hidden, 10)
mark("its key tokens")
aligning = compilation.CLOCK.take()
start = time.time()
loaded.align(loaded.embed([text]).hidden, 10)
print(json.dumps({"marks": marks, "compiling": [embedding.msec / 1000, aligning.msec / 1000],
                  "second": time.time() - start}))
"""


def seconds_of(command: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """Wall seconds of a process, and what it printed."""
    start = time.time()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.time() - start
    if done.returncode:
        raise SystemExit(done.stderr)
    return seconds, done.stdout


def show(name: str, seconds: list[float]) -> None:
    """A row of the table."""
    print(f"| {name} | {statistics.median(seconds):.2f} | {max(seconds):.2f} |", flush=True)


def main() -> None:
    """Prints both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="all-minilm-l6-v2")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    print("| --help of | s | slowest |\n|---|---|---|")
    for path in sorted((ROOT / "pipelines").glob("*.py")):
        if "cli.run(main" in path.read_text("utf-8"):
            command = [sys.executable, "-m", f"keytokens.pipelines.{path.stem}", "--help"]
            show(path.stem, [seconds_of(command, dict(os.environ))[0] for _ in range(asked.repeats)])
    with tempfile.TemporaryDirectory() as scratch:
        filled = {**os.environ, "XDG_CACHE_HOME": scratch}
        for title, flag in (("without compilation cache", "off"), ("with a filled compilation cache", scratch)):
            explain = [sys.executable, "-m", "keytokens.pipelines.explain_text", f"--model={asked.model}"]
            explain += [f"--text={TEXT}", f"--compilation_cache={flag}"]
            seconds_of(explain, filled)
            print(f"\n| {title} | s | slowest |\n|---|---|---|")
            show("explain_text, whole", [seconds_of(explain, filled)[0] for _ in range(asked.repeats)])
            parts(asked, flag, filled)


def parts(asked: argparse.Namespace, flag: str, environment: dict[str, str]) -> None:
    """The rows of what lies between the start and the first text, each for itself, then the sum."""
    code = f"from keytokens.pipelines import compilation\ncompilation.use_cache({flag!r})\n{PARTS}"
    found = []
    for _ in range(asked.repeats):
        command = [sys.executable, "-c", code, asked.model, TEXT, str(time.time())]
        found.append(json.loads(seconds_of(command, environment)[1]))
    names = list(found[0]["marks"])
    for before, name in zip([None, *names], names, strict=False):
        show(name, [one["marks"][name] - (one["marks"][before] if before else 0.0) for one in found])
    show("of the first text: XLA compiling, or reading its cache", [one["compiling"][0] for one in found])
    show("of its key tokens: XLA compiling, or reading its cache", [one["compiling"][1] for one in found])
    show("start to first text embedded", [one["marks"]["first text embedded"] for one in found])
    show("the same text again, with its key tokens", [one["second"] for one in found])


if __name__ == "__main__":
    main()
