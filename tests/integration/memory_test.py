"""Memory does not grow with the corpus."""

import pytest

from tests import small_run
from tests.integration import jobs

pytestmark = pytest.mark.integration


def peak_bytes(tmp_path, num_rows: int) -> int:
    """Resident memory of a whole run on synthetic documents, at its highest."""
    path = jobs.write_short_documents(tmp_path / f"{num_rows}.jsonl", num_rows)
    asked = small_run.options(tmp_path, corpus=(str(path),), output=str(tmp_path / f"{num_rows}.zarr"), unit_rows=4096)
    return jobs.peak_bytes(jobs.start(asked))


def test_ten_times_the_documents_in_the_same_memory(tmp_path):
    small, large = peak_bytes(tmp_path, 20_000), peak_bytes(tmp_path, 200_000)
    print(f"peak resident memory: {small / 1e6:.0f} MB for 20,000 documents, {large / 1e6:.0f} MB for 200,000")
    assert abs(large - small) / small < 0.10
