"""Memory does not grow with the corpus."""

import json
import os

import numpy as np
import pytest

from tests import small_run, tiny_checkpoint
from tests.integration import jobs

pytestmark = pytest.mark.integration


def peak_bytes(tmp_path, num_rows: int) -> int:
    """Resident memory of a whole run on synthetic documents, at its highest."""
    rng = np.random.default_rng(0)
    path = tmp_path / f"{num_rows}.jsonl"
    with path.open("w") as out:
        for row in range(num_rows):
            words = " ".join(rng.choice(tiny_checkpoint.WORDS, rng.integers(3, 12)))
            out.write(json.dumps({"_id": f"document-{row}", "text": words}) + "\n")
    asked = small_run.options(tmp_path, corpus=(str(path),), output=str(tmp_path / f"{num_rows}.zarr"), unit_rows=4096)
    job = jobs.start(asked)
    printed = job.stdout.read()
    _, status, usage = os.wait4(job.pid, 0)
    job.returncode = os.waitstatus_to_exitcode(status)
    job.stdout.close()
    assert job.returncode == 0, printed[-3000:]
    return usage.ru_maxrss * 1024


def test_ten_times_the_documents_in_the_same_memory(tmp_path):
    small, large = peak_bytes(tmp_path, 20_000), peak_bytes(tmp_path, 200_000)
    print(f"peak resident memory: {small / 1e6:.0f} MB for 20,000 documents, {large / 1e6:.0f} MB for 200,000")
    assert abs(large - small) / small < 0.10
