"""What does a document cost, and does the cost grow in proportion? Runs of two sizes, and the ratio of what they took.

  python tests/benchmarks/scale.py --documents=2048,8192

embeds short synthetic texts with all-minilm-l6-v2 (k = 256, dense embeddings kept, a unit of 512 rows), a process a
size; three minutes on two idle cores. A ratio of the sizes' own is linear; memory should not grow.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

_WORDS = ("wing", "flow", "air", "heat", "shock", "wave", "speed", "pressure", "jet", "boat", "house", "river", "paper")
_UNIT_ROWS = 512


def main() -> None:
    """Starts a process a size, since peak memory is a process's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", default="2048,8192")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one)))
        return
    sizes = [int(size) for size in asked.documents.split(",")]
    found = []
    for size in sizes:
        done = subprocess.run(
            [sys.executable, __file__, f"--one={size}"], capture_output=True, text=True, check=True, env=os.environ
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
    print(f"| {'':34} | " + " | ".join(f"{size:>12,}" for size in sizes) + " | ratio |")
    for name in found[0]:
        values = [one[name] for one in found]
        print(f"| {name:34} | " + " | ".join(f"{v:>12,.4g}" for v in values) + f" | {values[-1] / values[0]:5.2f} |")


def measure(num_documents: int) -> dict[str, float]:
    """One run, and what it left behind."""
    from keytokens import models
    from keytokens.pipelines import align_run, cli, encoder, engines, spectral, transforms
    from keytokens.pipelines.store import reader

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        corpus = pathlib.Path(scratch) / "corpus.jsonl"
        texts = (" ".join(rng.choice(_WORDS, 8)) for _ in range(num_documents))
        corpus.write_text(
            "".join(f"{json.dumps({'_id': f'd{row}', 'text': text})}\n" for row, text in enumerate(texts))
        )
        options = align_run.AlignOptions(
            model=models.read_embedder("all-minilm-l6-v2"),
            backbone=None,
            corpus=(str(corpus),),
            output=str(pathlib.Path(scratch) / "out.zarr"),
            save_embeddings=True,
            unit_rows=_UNIT_ROWS,
        )
        encoder.shared_encoder(options.model).warm_up(options.k)
        start = time.perf_counter()
        run, planned = align_run.prepare(options)
        planning = time.perf_counter() - start
        pipeline = engines.pipeline(cli.beam_options([]))
        transforms.define_pipeline(pipeline, run, planned.units)
        proto_bytes = pipeline.to_runner_api().ByteSize()
        start = time.perf_counter()
        pipeline.run().wait_until_finish()
        embedding = time.perf_counter() - start
        written = {path: path.stat().st_size for path in pathlib.Path(run.output).rglob("*") if path.is_file()}
        partial = sum(size for path, size in written.items() if "moments" in path.parts and "run" in path.parts)
        start = time.perf_counter()
        spectral.spectra_of(reader.StoreReader(run.output))
        reducing = time.perf_counter() - start
        return {
            "units": len(planned.units),
            "planning, s": planning,
            "proto, bytes a unit": proto_bytes / len(planned.units),
            "running, s": embedding,
            "files": len(written),
            "store, bytes a document": (sum(written.values()) - partial) / num_documents,
            "partial moments, bytes a unit": partial / len(planned.units),
            "compare_spectra, s": reducing,
            "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


if __name__ == "__main__":
    main()
