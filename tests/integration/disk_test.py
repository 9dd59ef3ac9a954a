"""Disks that are full or cannot be written: one clear line, and a run that resumes once they can."""

import pathlib
import subprocess

import pytest

from tests import small_run
from tests.integration import jobs

pytestmark = pytest.mark.integration


@pytest.fixture
def mounted(tmp_path):
    """Mounts a tmpfs of so many bytes, and takes it away."""
    directory = tmp_path / "disk"
    directory.mkdir()

    def mount(options: str) -> pathlib.Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("mounting a small tmpfs needs root")
        return directory

    yield mount
    subprocess.run(["umount", directory], capture_output=True, check=False)


@pytest.mark.parametrize(
    "beam", [[], ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]], ids=["inside", "workers"]
)
def test_a_full_disk_ends_the_run_and_more_space_resumes_it(tmp_path, mounted, beam):
    asked = small_run.options(tmp_path, num_rows=3000, unit_rows=200, save_embeddings=True)
    small_run.launch(asked)
    expected = small_run.contents(asked.output)
    disk = mounted("size=700k")
    on_disk = small_run.options(disk, num_rows=3000, unit_rows=200, save_embeddings=True)
    printed = jobs.finish(jobs.start(on_disk, *beam), status=2)
    last = printed.strip().splitlines()[-1]
    assert last.startswith(f"error: --output={on_disk.output} cannot be written") and "Free some space" in last
    assert "No space left on device" in last and "launch again with the same flags" in last
    assert 0 < jobs.units_done(on_disk) < 15
    subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
    jobs.finish(jobs.start(on_disk, *beam))
    small_run.assert_same_store(on_disk.output, expected)


def test_an_output_that_is_read_only(tmp_path, mounted):
    disk = mounted("size=1m,ro")
    asked = small_run.options(disk)
    printed = jobs.finish(jobs.start(asked), status=2)
    last = printed.strip().splitlines()[-1]
    assert last.startswith(f"error: --output={asked.output} cannot be written") and "no text was embedded" in last
    assert list(disk.iterdir()) == []
