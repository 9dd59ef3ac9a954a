"""SIGKILL of the whole job, then resume: the short form of tests/integration/kills_test.py."""

import pytest

from keytokens.pipelines import align_run
from tests import small_run
from tests.integration import jobs


def test_a_killed_job_resumes_to_the_same_bytes(tmp_path):
    asked = small_run.options(tmp_path, num_rows=600, unit_rows=10)
    small_run.launch(asked)
    expected = small_run.contents(asked.output)
    killed = small_run.options(tmp_path / "killed", num_rows=600, unit_rows=10)
    job = jobs.start(killed)
    jobs.wait_for_units(killed, 2, job)
    jobs.kill(job)
    done = jobs.units_done(killed)
    assert 2 <= done < 60, "the kill came too late to say anything"
    with pytest.raises(ValueError, match=r"--noresume: .* holds a store already, one that is not finished"):
        align_run.prepare(small_run.options(tmp_path / "killed", num_rows=600, unit_rows=10, resume=False))
    small_run.launch(killed)
    small_run.assert_same_store(killed.output, expected)
