"""How a run that goes wrong ends: one line that says what to do, an exit status, and everything that was done kept."""

import json
import logging
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
from absl.testing import flagsaver

from keytokens.pipelines import align_corpus, align_run, cli, engines, own_errors, reading, run_errors, transforms
from tests import faults, small_run
from tests.integration import jobs

TWO_PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
ONE_PROCESS = ["--direct_running_mode=multi_processing", "--direct_num_workers=1"]
INTERRUPTED = "interrupted; finished units are safe, launch again with the same flags"
# A test may run in the background, where SIGINT is ignored; children inherit that.
LISTENING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
TRACEBACK = """Traceback (most recent call last):
  File "x.py", line 1, in process
keytokens.pipelines.run_errors.RunError: the first

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "y.py", line 2, in process
"""


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ("keytokens.models.errors.ModelError: no weights [while running 'ToStore/EmbedUnits']\n", "no weights"),
        ("keytokens.pipelines.unit_work.StoreWriteError: full", "full"),
        ("keytokens.models.errors.ModelError: 2 problems:\n  a\nCure. [while running 'x']", "2 problems:\n  a\nCure."),
        (
            "keytokens.pipelines.reading.CorpusUnreadableError: a.txt ([Errno 2] gone: 'a.txt') [while running 'x']",
            "a.txt ([Errno 2] gone: 'a.txt')",
        ),
        ("ValueError: shapes (3,) and (4,)", "the first"),
    ],
)
def test_our_error_is_found_in_what_a_worker_sent(last, message):
    assert own_errors.message(TRACEBACK + last) == message


def test_only_from_an_error_of_ours_the_step_is_taken_off():
    step = " [while running 'ToStore/EmbedUnits']"
    for error, left in ((run_errors.RunError(f"full{step}"), "full"), (ValueError(f"x{step}"), f"x{step}")):
        own_errors.drop_step(error)
        assert str(error) == left


def test_an_error_that_is_none_of_ours_is_not_taken_for_one():
    assert own_errors.message("Traceback ...\nValueError: see keytokens.models.ModelError: x") is None


@pytest.mark.parametrize(
    ("error", "yes"),
    [
        (KeyboardInterrupt(), True),
        (RuntimeError("KeyboardInterrupt [while running 'ToStore/EmbedUnits']"), True),
        (RuntimeError("KeyboardInterrupts are nice"), False),
        (SystemExit(1), False),
    ],
)
def test_an_interruption_says_that_nothing_is_lost(error, yes):
    with pytest.raises(KeyboardInterrupt if yes else type(error)) as caught, own_errors.resumable():
        raise error
    assert ("launch again with the same flags" in str(caught.value)) == yes


def test_beam_still_logs_what_is_a_bug(caplog):
    own_errors.leave_to_the_end()
    logger = logging.getLogger("apache_beam.runners.common")
    for error in (run_errors.RunError("ours"), KeyboardInterrupt(), ZeroDivisionError("a bug")):
        try:
            raise error
        except BaseException as raised:
            logger.exception(raised)
    assert [record.getMessage() for record in caplog.records] == ["a bug"]


def test_an_interruption_inside_a_unit_is_an_interruption(tmp_path, capfd):
    run, planned = align_run.prepare(small_run.options(tmp_path))
    with (
        pytest.raises(KeyboardInterrupt, match="finished units are safe"),
        engines.pipeline(cli.beam_options([])) as pipeline,
    ):
        faults.define_pipeline(pipeline, faults.Interrupted(run), planned.units)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("beam", [[], ONE_PROCESS], ids=["here", "worker process"])
def test_ctrl_c_ends_a_program_at_once_with_one_line_and_status_130(tmp_path, beam):
    asked = small_run.options(tmp_path, num_rows=3000, unit_rows=10)
    job = subprocess.Popen(
        [sys.executable, "-c", LISTENING, *jobs.command(asked, *beam)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=jobs.ROOT,
        env=jobs.ENVIRONMENT,
    )
    jobs.wait_for_units(asked, 2, job)
    start = time.monotonic()
    job.send_signal(signal.SIGINT)
    printed = jobs.finish(job, status=130, timeout_sec=60)
    assert time.monotonic() - start < 15
    assert jobs.units_done(asked) < 300, "the signal came too late to say anything"
    lines = printed.strip().splitlines()
    assert lines[-1] == INTERRUPTED
    assert all("texts" in line for line in lines[:-1]), "nothing but the progress before it"


@pytest.fixture
def worker_path(monkeypatch):
    """Lets worker processes import tests.faults."""
    root = pathlib.Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{root}/.links:{root}")


@pytest.mark.usefixtures("worker_path")
def test_an_error_of_a_model_on_a_worker_process_is_that_error_and_no_traceback(tmp_path, capfd):
    directory = tmp_path / "model"
    shutil.copytree(small_run.model_dir(), directory)
    model = small_run.models.read_embedder(str(directory))
    run, planned = align_run.prepare(small_run.options(tmp_path, model=model))
    (directory / "tokenizer.json").write_text("{")  # it is read well here, and badly there
    words = rf"^{directory} has no tokenizer that can be read .*tokenizer files\.$"
    with (
        pytest.raises(run_errors.RunError, match=words),
        engines.pipeline(cli.beam_options(TWO_PROCESSES)) as pipeline,
    ):
        transforms.define_pipeline(pipeline, run, planned.units)
    assert capfd.readouterr().err == ""


def test_a_corpus_file_that_went_away_is_named_and_the_rest_resumes(tmp_path, capfd):
    path = tmp_path / "docs.txt"
    path.write_text("".join(f"the wing {i}\n" for i in range(40)))
    asked = small_run.options(tmp_path, corpus=(str(path),))
    run, planned = align_run.prepare(asked)
    path.rename(tmp_path / "away")
    words = r"docs\.txt, lines \d+ to \d+ cannot be read any more .*No such file.* it resumes\.$"
    with (
        pytest.raises(reading.CorpusUnreadableError, match=words),
        engines.pipeline(cli.beam_options([])) as pipeline,
    ):
        transforms.define_pipeline(pipeline, run, planned.units)
    assert "Traceback" not in capfd.readouterr().err
    (tmp_path / "away").rename(path)
    assert small_run.launch(asked).manifest["counts"]["embedded"] == 40


def align(tmp_path, lines: list[str]) -> None:
    """The program on these lines."""
    (tmp_path / "docs.jsonl").write_text("".join(f"{line}\n" for line in lines))
    given = {"model": str(small_run.model_dir()), "corpus": [str(tmp_path / "docs.jsonl")]}
    with flagsaver.flagsaver(**given, output=str(tmp_path / "out.zarr"), k=5):
        align_corpus.main([])


GOOD, BAD, EMPTY = json.dumps({"text": "the wing"}), "not json", json.dumps({"text": ""})


def test_a_run_that_embeds_nothing_fails_once_everything_is_written(tmp_path, capsys):
    words = r"no text was embedded: 3 of 3 rows are dead .* often of kind invalid_json \(2\); .*--corpus_format"
    with pytest.raises(align_corpus.NothingEmbeddedError, match=words):
        align(tmp_path, [BAD, BAD, EMPTY])
    assert "3 rows: 0 embedded, 3 dead letters" in capsys.readouterr().out
    assert (tmp_path / "out.zarr" / "run" / "report.html").exists()


def test_a_run_of_which_most_rows_are_dead_letters_warns(tmp_path, capsys):
    align(tmp_path, [GOOD, EMPTY, EMPTY, BAD])
    words = "warning: 3 of 4 rows are dead letters and have no key tokens, most often of kind empty (2); "
    assert capsys.readouterr().err.splitlines()[-1].startswith(words)


@pytest.mark.parametrize(("rows", "dead"), [(0, 0), (1, 0), (3, 1), (4, 2)])
def test_a_run_of_which_half_the_rows_are_embedded_does_not(rows, dead):
    assert align_corpus.check_dead_letters({"rows": rows, "dead_letters": dead}, {"empty": dead}) is None


def test_an_empty_corpus_is_no_failure(tmp_path, capsys):
    align(tmp_path, [])
    assert "0 rows: 0 embedded" in capsys.readouterr().out


def test_flagged_duplicates_are_no_kind_of_dead_letter():
    counts = {"rows": 10, "dead_letters": 6}
    warning = align_corpus.check_dead_letters(counts, {"duplicate_id": 9, "empty": 6})
    assert warning is not None and "of kind empty (6)" in warning
