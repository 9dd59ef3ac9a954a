"""What do planning, reading, writing and Beam cost beside embedding? Prints the profile of one run, in seconds.

  python tests/benchmarks/overhead.py --corpus=CRANFIELD/corpus.jsonl --model=all-minilm-l6-v2

takes the time of embedding alone; 1,400 documents are half a minute on two idle cores. Expect an overhead under 5 %.
"""

import argparse
import collections
import contextlib
import functools
import pathlib
import tempfile
import time

import numpy as np

from keytokens import models
from keytokens.pipelines import align_run, cli, corpus, encoder, engines, plan, transforms, unit_work
from keytokens.pipelines.store import run_state, writer


@contextlib.contextmanager
def timed(owner, name: str, seconds: dict[str, float], label: str):
    """Adds what each call of owner.name takes to seconds[label]."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapper(*args, **kwargs):
        start = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            seconds[label] += time.perf_counter() - start

    setattr(owner, name, wrapper)
    yield
    setattr(owner, name, original)


def main() -> None:
    """Runs once to compile, then once to measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--model", default="all-minilm-l6-v2")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--k", type=int, default=256)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        options = align_run.AlignOptions(
            model=models.read_embedder(asked.model, dtype=asked.dtype),
            backbone=None,
            corpus=(asked.corpus,),
            output=str(pathlib.Path(scratch) / "out.zarr"),
            k=asked.k,
        )
        encoder.shared_encoder(options.model).warm_up(asked.k)
        encoder.pair_moments(np.zeros((1, options.model.hidden_size), np.float32), None, np.ones(1, bool))
        seconds: dict[str, float] = collections.defaultdict(float)
        with contextlib.ExitStack() as stack:
            for owner, name, label in (
                (plan, "plan_units", "planning"),
                (encoder.Encoder, "embed", "embedding"),
                (encoder.Encoder, "align", "selecting"),
                (encoder, "pair_moments", "moments"),
                (corpus, "parse_line", "parsing"),
                (writer.StoreWriter, "write_shard", "writing"),
                (writer.StoreWriter, "write_moments", "writing"),
                (run_state, "write_marker", "writing"),
                (unit_work, "process", "units"),
            ):
                stack.enter_context(timed(owner, name, seconds, label))
            start = time.perf_counter()
            run, planned = align_run.prepare(options)
            seconds["preparing"] = time.perf_counter() - start - seconds["planning"]
            with engines.pipeline(cli.beam_options([])) as pipeline:
                transforms.define_pipeline(pipeline, run, planned.units)
            whole = time.perf_counter() - start
    units = seconds.pop("units")
    seconds["rest of units"] = units - sum(
        seconds[name] for name in ("embedding", "selecting", "moments", "parsing", "writing")
    )
    seconds["beam, last step"] = whole - units - seconds["planning"] - seconds["preparing"]
    for name, value in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"{name:>16} {value:8.2f} s {value / whole:6.1%}")
    model = seconds["embedding"] + seconds["selecting"] + seconds["moments"]
    overhead = whole - model
    print(f"{planned.num_rows} documents in {whole:.1f} s, {planned.num_rows / whole:.1f} a second")
    print(
        f"all but embedding, selecting, moments: {overhead:.2f} s, {overhead / seconds['embedding']:.1%} of embedding"
    )


if __name__ == "__main__":
    main()
