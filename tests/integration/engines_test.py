"""The same pipeline on other engines: a job service with external workers, a Dask cluster."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from keytokens.pipelines import align_run
from tests import small_run
from tests.integration import jobs

pytestmark = pytest.mark.integration
ROWS, UNIT_ROWS = 1200, 40  # 30 units


def options(directory) -> align_run.AlignOptions:
    return small_run.options(directory, num_rows=ROWS, unit_rows=UNIT_ROWS)


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict[str, bytes]:
    asked = options(tmp_path_factory.mktemp("expected"))
    small_run.launch(asked)
    return small_run.contents(asked.output)


@pytest.fixture
def background(tmp_path):
    """Starts helper processes, and ends them and theirs after the test."""
    started = []

    def start(*command: str) -> pathlib.Path:
        log = tmp_path / f"{len(started)}.log"
        with log.open("w") as out:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", *command],
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env=jobs.ENVIRONMENT,
                    cwd=jobs.ROOT,
                    start_new_session=True,
                )
            )
        return log

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return listening.getsockname()[1]


def wait_for(log: pathlib.Path, pattern: str, *, timeout_sec: float = 60) -> re.Match:
    end = time.monotonic() + timeout_sec
    while (found := re.search(pattern, log.read_text())) is None:
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.1)
    return found


def test_a_job_service_in_another_process_with_external_workers(tmp_path, expected, background):
    asked = options(tmp_path)
    service, pool = free_port(), free_port()
    service_log = background(
        "apache_beam.runners.portability.local_job_service_main", f"--port={service}", f"--staging_dir={tmp_path}"
    )
    wait_for(service_log, "Listening for beam jobs")
    background("apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}")
    job = jobs.start(
        asked,
        "--runner=PortableRunner",
        f"--job_endpoint=localhost:{service}",
        "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{pool}",
    )
    jobs.wait_for_units(asked, 1, job)
    # Beam's own job service asks its pool for one worker, whatever --direct_num_workers says.
    assert len(jobs.workers("import SdkHarness; SdkHarness(")) == 1
    jobs.finish(job)
    small_run.assert_same_store(asked.output, expected)


def dask_cluster(background) -> tuple[str, list[int]]:
    """The address of a scheduler with two worker processes, and their process ids."""
    port = free_port()
    log = background("distributed.cli.dask_scheduler", "--host=127.0.0.1", f"--port={port}", "--no-dashboard")
    wait_for(log, r"Scheduler at")
    for _ in range(2):
        background(
            "distributed.cli.dask_worker", f"127.0.0.1:{port}", "--nthreads=1", "--no-dashboard", "--death-timeout=60"
        )
    end = time.monotonic() + 60
    while log.read_text().count("Register worker") < 2:
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.1)
    return f"127.0.0.1:{port}", jobs.workers("from multiprocessing.spawn import spawn_main")


def test_dask_cluster_whose_worker_is_killed(tmp_path, expected, background):
    asked = options(tmp_path)
    before = set(jobs.workers("from multiprocessing.spawn import spawn_main"))
    address, found = dask_cluster(background)
    victims = sorted(set(found) - before)
    assert len(victims) == 2
    job = jobs.start(asked, "--runner=DaskRunner", f"--dask_client_address={address}")
    jobs.wait_for_units(asked, 4, job)
    os.kill(victims[0], signal.SIGKILL)
    jobs.finish(job)
    small_run.assert_same_store(asked.output, expected)


def test_where_dask_gives_up_after_more_kills_fnapirunner_completes_the_store(tmp_path, expected, background):
    asked = options(tmp_path)
    before = set(jobs.workers("from multiprocessing.spawn import spawn_main"))
    address, _ = dask_cluster(background)
    job = jobs.start(asked, "--runner=DaskRunner", f"--dask_client_address={address}")
    jobs.wait_for_units(asked, 2, job)
    for _ in range(6):  # every worker that the nannies bring back
        for worker in set(jobs.workers("from multiprocessing.spawn import spawn_main")) - before:
            os.kill(worker, signal.SIGKILL)
        time.sleep(1)
    jobs.kill(job)  # and its pipe closed, where it has given up by itself
    jobs.finish(jobs.start(asked))
    small_run.assert_same_store(asked.output, expected)
