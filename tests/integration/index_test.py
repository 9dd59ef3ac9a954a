"""An index build that is killed resumes to the same bytes, and its memory does not grow with the corpus."""

import random
import subprocess
import sys
import time

import pytest

from keytokens.pipelines.retrieval import build, index_run
from keytokens.pipelines.store import files as store_files
from tests import small_index, small_run
from tests.integration import jobs

pytestmark = pytest.mark.integration


def start(
    url: str,
    *,
    block_rows: int,
    k: int = 12,
    shard_postings: int = index_run.SHARD_POSTINGS,
    beam: tuple[str, ...] = (),
) -> subprocess.Popen:
    """The program, as its users start it."""
    command = [sys.executable, "-m", "keytokens.pipelines.build_index", f"--store={url}", f"--k={k}"]
    command += [f"--block_rows={block_rows}", f"--shard_postings={shard_postings}"]
    command += [f"--model_path={small_run.model_dir()}", *(["--", *beam] if beam else [])]
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


def aligned(tmp_path, num_rows: int) -> str:
    """A store of short synthetic documents."""
    path = jobs.write_short_documents(tmp_path / f"{num_rows}.jsonl", num_rows)
    url = str(tmp_path / f"{num_rows}.zarr")
    asked = small_run.options(tmp_path, corpus=(str(path),), output=url, unit_rows=4096, save_embeddings=True)
    jobs.finish(jobs.start(asked))
    return url


def peak_bytes(url: str, *, block_rows: int, shard_postings: int) -> int:
    """Resident memory of a whole build, at its highest."""
    return jobs.peak_bytes(start(url, k=60, block_rows=block_rows, shard_postings=shard_postings))


def test_five_times_the_documents_in_the_same_memory(tmp_path):
    few, many = aligned(tmp_path, 10_000), aligned(tmp_path, 50_000)
    small, large = (peak_bytes(url, block_rows=4096, shard_postings=1 << 16) for url in (few, many))
    build.remove(store_files.StoreFiles(many))
    whole = peak_bytes(many, block_rows=50_000, shard_postings=1 << 30)
    print(f"peak resident memory: {small / 1e6:.0f} MB for 10,000 documents, {large / 1e6:.0f} MB for 50,000, "
          f"{whole / 1e6:.0f} MB for these in one block and one shard")  # fmt: skip
    assert large < 1.15 * small
    assert whole > 1.15 * large, "the corpus is too small to tell a bounded build from another"
