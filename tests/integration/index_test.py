"""An index build that is killed resumes to the same bytes, and its memory does not grow with the corpus."""

import json
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest

from keytokens.pipelines.retrieval import build, index_run
from keytokens.pipelines.store import files as store_files
from tests import small_index, small_run, tiny_checkpoint
from tests.integration import jobs

pytestmark = pytest.mark.integration


def start(url: str, *, block_rows: int, beam: tuple[str, ...] = ()) -> subprocess.Popen:
    """The program, as its users start it."""
    command = [sys.executable, "-m", "keytokens.pipelines.build_index", f"--store={url}", "--k=12"]
    command += [f"--model_path={small_run.model_dir()}", f"--block_rows={block_rows}", *(["--", *beam] if beam else [])]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=jobs.ROOT, env=jobs.ENVIRONMENT
    )


def index_files(url: str) -> dict[str, bytes]:
    return {key: value for key, value in small_run.contents(url).items() if key.startswith(("X_T/", "retrieval/"))}


def blocks_done(url: str) -> int:
    return len(store_files.StoreFiles(url).keys(f"{index_run.WORK}/blocks/"))


def test_sigkill_at_random_moments_then_resume(tmp_path):
    url = small_index.store(tmp_path, num_rows=3000, unit_rows=1024)
    jobs.finish(start(url, block_rows=50))
    expected = index_files(url)
    build.remove(store_files.StoreFiles(url))
    moments, done = random.Random(), []
    for _ in range(3):
        job = start(url, block_rows=50)
        while job.poll() is None and blocks_done(url) <= (done[-1] if done else 0):
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.1))
        jobs.kill(job)
        done.append(blocks_done(url))
    assert done == sorted(set(done)) and 0 < done[-1] < 60, f"kills came too late: {done}"
    assert index_run.read_index_attributes(store_files.StoreFiles(url)) is None
    two = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
    jobs.finish(start(url, block_rows=50, beam=two))
    assert index_files(url) == expected


def peak_bytes(tmp_path, num_rows: int) -> int:
    rng = np.random.default_rng(0)
    path = tmp_path / f"{num_rows}.jsonl"
    with path.open("w") as out:
        for row in range(num_rows):
            words = " ".join(rng.choice(tiny_checkpoint.WORDS, rng.integers(3, 12)))
            out.write(json.dumps({"_id": f"document-{row}", "text": words}) + "\n")
    url = str(tmp_path / f"{num_rows}.zarr")
    jobs.finish(jobs.start(small_run.options(
        tmp_path, corpus=(str(path),), output=url, unit_rows=4096, save_embeddings=True
    )))  # fmt: skip
    job = start(url, block_rows=4096)
    printed = job.stdout.read()
    _, status, usage = os.wait4(job.pid, 0)
    job.returncode = os.waitstatus_to_exitcode(status)
    job.stdout.close()
    assert job.returncode == 0, printed[-3000:]
    return usage.ru_maxrss * 1024


def test_eight_times_the_documents_in_the_same_memory(tmp_path):
    small, large = peak_bytes(tmp_path, 10_000), peak_bytes(tmp_path, 80_000)
    print(f"peak resident memory: {small / 1e6:.0f} MB for 10,000 documents, {large / 1e6:.0f} MB for 80,000")
    assert abs(large - small) / small < 0.15
