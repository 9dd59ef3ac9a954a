"""Whatever runs the units, and however often, and whatever dies: the store is the same, byte by byte."""

import ast
import os
import pathlib
import threading
import time

import apache_beam as beam
import pytest

from keytokens.pipelines import align_run, cli, engines, transforms, worker_processes
from tests import faults, small_run

TWO_PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2", "--job_name=carried-over"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict[str, bytes]:
    """The store of a run that nothing disturbs."""
    asked = small_run.options(tmp_path_factory.mktemp("expected"))
    small_run.launch(asked)
    return small_run.contents(asked.output)


def test_bundles_that_run_twice_with_markers_ignored(tmp_path, expected):
    asked = small_run.options(tmp_path)
    run, planned = align_run.prepare(asked)
    with engines.pipeline(cli.beam_options(["--direct_runner_bundle_repeat=2"])) as pipeline:
        faults.define_pipeline(pipeline, faults.IgnoreMarkers(run), planned.units)
    small_run.assert_same_store(asked.output, expected)


def test_units_that_write_garbage_and_die_first(tmp_path, expected):
    asked = small_run.options(tmp_path)
    (tmp_path / "attempts").mkdir()
    deaths = 0
    for _ in range(10):
        run, planned = align_run.prepare(asked)
        do_fn = faults.GarbageThenDeath(run, str(tmp_path / "attempts"), units=(0, 2, 3, 5))
        try:
            with engines.pipeline(cli.beam_options([])) as pipeline:
                faults.define_pipeline(pipeline, do_fn, planned.units)
            break
        except RuntimeError as error:
            assert "dies on purpose" in str(error)
            deaths += 1
    assert deaths == 4
    small_run.assert_same_store(asked.output, expected)


def test_two_runs_race_on_one_store(tmp_path, expected):
    asked = small_run.options(tmp_path)
    runners = [threading.Thread(target=small_run.launch, args=[asked]) for _ in range(2)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    small_run.assert_same_store(asked.output, expected)


@pytest.fixture
def worker_path(monkeypatch):
    """Lets worker processes import tests.faults."""
    root = pathlib.Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{root}/.links:{root}")


# The threads that read a killed worker's streams end with the streams' error; they are Beam's.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.usefixtures("worker_path")
def test_a_killed_worker_ends_the_run_and_the_other_workers(tmp_path):
    run, planned = align_run.prepare(small_run.options(tmp_path))
    start = time.monotonic()
    with (
        pytest.raises(worker_processes.WorkerDiedError, match=r"worker process \d+ ended by signal 9 .* resume"),
        engines.pipeline(cli.beam_options(TWO_PROCESSES)) as pipeline,
    ):
        faults.define_pipeline(pipeline, faults.OneDiesOthersSleep(run), planned.units)
    assert time.monotonic() - start < 60


@pytest.mark.usefixtures("worker_path")
def test_worker_processes_get_options_and_one_model_each_and_share_the_cores(tmp_path, expected):
    asked = small_run.options(tmp_path)
    run, planned = align_run.prepare(asked)
    (tmp_path / "notes").mkdir()
    with engines.pipeline(cli.beam_options(TWO_PROCESSES)) as pipeline:
        faults.define_pipeline(pipeline, faults.Witness(run, str(tmp_path / "notes")), planned.units)
    small_run.assert_same_store(asked.output, expected)
    notes = {path.name: ast.literal_eval(path.read_text()) for path in (tmp_path / "notes").iterdir()}
    assert len(notes) == 6 and len({name.split(".")[0] for name in notes}) == 2, "both processes must work"
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    for note in notes.values():
        assert note == {"job_name": "carried-over", "models_loaded": 1, "xla_threads": threads, "parent": os.getpid()}


@pytest.mark.parametrize(("processes", "cores", "threads"), [(1, 8, 8), (2, 8, 4), (3, 8, 2), (8, 8, 1), (16, 8, 1)])
def test_threads_of_all_processes_together_are_the_cores(processes, cores, threads):
    environment = worker_processes.thread_environment(processes, cores)
    assert environment["NPROC"] == environment["RAYON_NUM_THREADS"] == str(threads)
    assert ("XLA_PYTHON_CLIENT_MEM_FRACTION" in environment) == (processes > 1)


def test_beam_counts_what_the_store_counts(tmp_path):
    asked = small_run.options(tmp_path)
    run, planned = align_run.prepare(asked)
    with engines.pipeline(cli.beam_options([])) as pipeline:
        transforms.define_pipeline(pipeline, run, planned.units)
    found = pipeline.result.metrics().query(beam.metrics.MetricsFilter().with_namespace("keytokens"))
    counters = {counter.key.metric.name: counter.result for counter in found["counters"]}
    counts = small_run.reader.StoreReader(asked.output).manifest["counts"]
    assert counters.pop("units_done") == 6
    assert {name: counters[name] for name in transforms.COUNTED} == {name: counts[name] for name in transforms.COUNTED}
    per_unit = {item.key.metric.name: item.result for item in found["distributions"]}
    assert all(distribution.count == 6 for distribution in per_unit.values())
    assert 0 < per_unit["unit_padding_percent"].mean < 100 and per_unit["unit_tokens_per_sec"].min > 0
