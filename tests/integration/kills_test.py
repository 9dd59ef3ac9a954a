"""A run that is killed, raced and harmed leaves the bytes of one that was left alone. The embedder is real JAX."""

import os
import random
import signal
import time

import pytest

from keytokens.pipelines import align_run, cli, engines, worker_processes
from tests import faults, small_run
from tests.integration import jobs

pytestmark = pytest.mark.integration
ROWS, UNIT_ROWS = 3000, 40  # 75 units
TWO_PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]


def options(directory, **changes) -> align_run.AlignOptions:
    return small_run.options(
        directory, **{"num_rows": ROWS, "unit_rows": UNIT_ROWS, "save_embeddings": True, **changes}
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict[str, bytes]:
    asked = options(tmp_path_factory.mktemp("expected"))
    small_run.launch(asked)
    return small_run.contents(asked.output)


def test_sigkill_at_five_random_moments_then_resume(tmp_path, expected):
    asked = options(tmp_path)
    moments = random.Random()  # other moments every time; the seed would hide a bad one
    done = []
    for _ in range(5):
        job = jobs.start(asked)
        jobs.wait_for_units(asked, (done[-1] if done else 0) + 1, job)
        time.sleep(moments.uniform(0, 0.4))
        jobs.kill(job)
        done.append(jobs.units_done(asked))
    assert done == sorted(set(done)) and done[0] > 0 and done[-1] < 75, f"kills came too late: {done}"
    printed = jobs.finish(jobs.start(asked))
    assert f"resuming: {done[-1]}/75 units" in printed
    small_run.assert_same_store(asked.output, expected)


def test_two_copies_of_the_job_race_on_one_store(tmp_path, expected):
    asked = options(tmp_path)
    both = [jobs.start(asked), jobs.start(asked, *TWO_PROCESSES)]
    for job in both:
        jobs.finish(job)
    small_run.assert_same_store(asked.output, expected)


def test_a_killed_worker_process_ends_the_job_within_a_minute_and_it_resumes(tmp_path, expected):
    asked = options(tmp_path)
    job = jobs.start(asked, *TWO_PROCESSES)
    jobs.wait_for_units(asked, 3, job)
    own = f"keytokens.pipelines.worker_main\0{job.pid}"
    victims = jobs.workers(own)
    assert len(victims) == 2
    os.kill(victims[0], signal.SIGKILL)
    start = time.monotonic()
    printed = jobs.finish(job, timeout_sec=60, status=2)
    print(f"ended {time.monotonic() - start:.1f} s after the kill")
    assert f"error: worker process {victims[0]} ended by signal 9" in printed.splitlines()[-1]
    assert jobs.workers(own) == [], "the other worker must not go on alone"
    assert jobs.units_done(asked) < 75
    jobs.finish(jobs.start(asked, *TWO_PROCESSES))
    small_run.assert_same_store(asked.output, expected)


def test_workers_end_with_the_launcher_that_is_killed(tmp_path):
    asked = options(tmp_path)
    job = jobs.start(asked, *TWO_PROCESSES)
    jobs.wait_for_units(asked, 1, job)
    own = f"keytokens.pipelines.worker_main\0{job.pid}"
    assert len(jobs.workers(own)) == 2
    job.send_signal(signal.SIGKILL)
    job.wait()
    end = time.monotonic() + 20
    while jobs.workers(own):
        assert time.monotonic() < end, "a worker goes on for nobody"
        time.sleep(0.1)
    job.stdout.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_units_that_write_garbage_and_take_their_process_with_them(tmp_path, expected, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", jobs.ENVIRONMENT["PYTHONPATH"])
    asked = options(tmp_path)
    (tmp_path / "attempts").mkdir()
    deaths = 0
    for _ in range(4):
        run, planned = align_run.prepare(asked)
        do_fn = faults.GarbageThenDeath(run, str(tmp_path / "attempts"), units=(7, 30), kill=True)
        try:
            with engines.pipeline(cli.beam_options(TWO_PROCESSES)) as pipeline:
                faults.define_pipeline(pipeline, do_fn, planned.units)
            break
        except worker_processes.WorkerDiedError:
            deaths += 1
    assert 1 <= deaths <= 2  # both may die in one launch
    small_run.assert_same_store(asked.output, expected)


def test_every_bundle_twice_with_markers_ignored_in_worker_processes(tmp_path, expected, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", jobs.ENVIRONMENT["PYTHONPATH"])
    asked = options(tmp_path)
    run, planned = align_run.prepare(asked)
    with engines.pipeline(cli.beam_options([*TWO_PROCESSES, "--direct_runner_bundle_repeat=1"])) as pipeline:
        faults.define_pipeline(pipeline, faults.IgnoreMarkers(run), planned.units)
    small_run.assert_same_store(asked.output, expected)
