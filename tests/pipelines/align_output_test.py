"""What lies at --output is not lost by a launch that cannot run, nor by one that is repeated with the same flags."""

import dataclasses
import pathlib

import pytest
from absl.testing import flagsaver
from apache_beam.runners.portability import prism_runner

from keytokens import models
from keytokens.pipelines import align_corpus, align_output, align_run, plan, unit_work
from keytokens.pipelines.store import files as store_files
from keytokens.pipelines.store import identity, run_state
from tests import small_run, tiny_checkpoint


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict[str, bytes]:
    """The store of a run that nothing disturbs: 90 rows, 6 units."""
    asked = small_run.options(tmp_path_factory.mktemp("expected"))
    small_run.launch_without_engine(asked)
    return small_run.contents(asked.output)


@pytest.fixture
def asked(tmp_path) -> align_run.AlignOptions:
    return small_run.options(tmp_path)


def fill(url: str, contents: dict[str, bytes]) -> store_files.StoreFiles:
    """A store of these contents."""
    files = store_files.StoreFiles(url)
    for key, value in contents.items():
        files.write(key, value)
    return files


def units_done(asked: align_run.AlignOptions) -> list[int]:
    return run_state.finished_units(store_files.StoreFiles(asked.output))


def overwriting(asked: align_run.AlignOptions, **changes) -> align_run.AlignOptions:
    return dataclasses.replace(asked, overwrite=True, **changes)


def test_overwrite_launched_again_goes_on_with_its_own_unfinished_store(asked, expected):
    run, planned = align_run.prepare(overwriting(asked))
    for unit in planned.units[:4]:
        unit_work.process(run, unit)
    align_run.prepare(overwriting(asked))
    assert units_done(asked) == [0, 1, 2, 3]
    small_run.launch_without_engine(overwriting(asked))
    small_run.assert_same_store(asked.output, expected)


def test_overwrite_replaces_an_unfinished_store_of_another_run(asked):
    run, planned = align_run.prepare(asked)
    unit_work.process(run, planned.units[0])
    align_run.prepare(overwriting(asked, k=5))
    assert units_done(asked) == []


def test_overwrite_with_noresume_begins_anew_in_any_case(asked):
    run, planned = align_run.prepare(asked)
    unit_work.process(run, planned.units[0])
    align_run.prepare(overwriting(asked, resume=False))
    assert units_done(asked) == []


@pytest.mark.parametrize(("reported", "kept"), [(False, 6), (True, 0)])
def test_overwrite_replaces_a_store_only_once_its_report_is_written_too(asked, expected, reported, kept):
    """Who dies while writing the report is told to launch again, and has hours of units to lose."""
    files = fill(asked.output, expected)
    if reported:
        files.write(align_output.REPORT, b"<html>")
    align_run.prepare(overwriting(asked))
    assert len(units_done(asked)) == kept


@pytest.mark.parametrize("steps", range(6))
def test_a_death_while_deleting_leaves_what_the_next_launch_resumes(asked, expected, steps):
    files = fill(asked.output, expected)
    deletions = align_output._deletions(files)
    assert len(deletions) == 5
    for delete in deletions[:steps]:
        delete()
    small_run.launch_without_engine(asked)
    small_run.assert_same_store(asked.output, expected)


def test_deleting_leaves_nothing(asked, expected):
    files = fill(asked.output, expected)
    align_output._delete(files)
    assert files.keys("") == []


def unreadable_tokenizer(directory: pathlib.Path) -> models.EmbedderConfig:
    """The tiny model, whose tokenizer was damaged after its configuration was read."""
    config = models.read_embedder(str(tiny_checkpoint.write_tiny_bert(directory)))
    (directory / "tokenizer.json").write_text("{")
    return config


def too_short(config: models.EmbedderConfig) -> models.EmbedderConfig:
    return dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, max_length=2))


@pytest.mark.parametrize("part", ["model", "backbone"])
@pytest.mark.parametrize("fault", ["tokenizer", "max_length"])
def test_a_tokenizer_that_would_fail_on_a_worker_costs_no_store(asked, expected, tmp_path, part, fault):
    before = {**expected, align_output.REPORT: b"<html>"}
    files = fill(asked.output, before)
    config = asked.model
    broken = unreadable_tokenizer(tmp_path / "broken") if fault == "tokenizer" else too_short(config)
    words = "no tokenizer that can be read" if fault == "tokenizer" else "max_length=2 is used up by the 2 tokens"
    with pytest.raises(models.ModelError, match=words) as caught:
        align_run.prepare(overwriting(asked, **{part: broken}))
    assert "--output" not in str(caught.value), "it is not the output's fault"
    assert {key: files.read(key) for key in files.keys("")} == before


def test_a_launch_that_cannot_run_leaves_nothing_that_refuses_the_next_one(asked):
    with pytest.raises(models.ModelError, match="max_length=2"):
        align_run.prepare(dataclasses.replace(asked, model=too_short(asked.model)))
    assert not pathlib.Path(asked.output).exists()
    align_run.prepare(asked)


@pytest.mark.parametrize(
    ("beam", "flags", "words"),
    [
        (["--runner=NoSuchRunner"], {}, "NoSuchRunner"),
        (["--runner=DataflowRunner"], {}, "project"),
        (["--runner=PrismRunner"], {}, r"no Prism to run \(no network\); nothing was written\. .*--prism_location"),
        (
            ["--runner=PortableRunner", "--job_endpoint=localhost:1"],
            {},
            "localhost:1: no job service",
        ),
        ([], {"dtype": "int16"}, "int16"),
    ],
)
def test_an_engine_or_machine_that_cannot_run_it_costs_no_store(asked, expected, monkeypatch, beam, flags, words):
    before = {**expected, align_output.REPORT: b"<html>"}
    files = fill(asked.output, before)

    def missing(what: str) -> None:
        raise ValueError(f"{what} needs the C++ library")

    def no_network(_) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr("keytokens.kernels.require_packed", missing)
    monkeypatch.setattr(prism_runner.PrismJobServer, "start", no_network)
    given = {"model": asked.model.directory, "corpus": list(asked.corpus), "output": asked.output}
    own = flagsaver.flagsaver(**given, k=8, unit_rows=16, overwrite=True, **flags)
    with own, pytest.raises(ValueError, match=words):
        align_corpus.main(beam)
    assert {key: files.read(key) for key in files.keys("")} == before


def no_pass(*_) -> None:
    raise AssertionError("the whole corpus was read first")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", r"--output= cannot be opened \(it is empty\)"),
        ("foo://x", r'--output=foo://x cannot be opened \(.*unsupported URL scheme "foo".*Give a local path'),
        ("http://localhost:1/x", r"--output=http://localhost:1/x cannot be opened \(http is for reading only"),
        ("{dir}/file", r"cannot be written \(.*/file is a file, and a store is a directory\); no text was embedded"),
        ("{dir}/file/out.zarr", r"cannot be written \(.*/file is a file, and a store is a directory"),
        ("{dir}/mine", r"is no store of ours \(it holds thesis\.tex\)"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_the_corpus_is_read(asked, tmp_path, monkeypatch, url, words):
    (tmp_path / "file").write_text("x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    monkeypatch.setattr(plan, "plan_units", no_pass)
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=words):
            align_run.prepare(dataclasses.replace(asked, output=url.format(dir=tmp_path), overwrite=overwrite))
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_a_directory_that_cannot_be_written_is_refused_before_the_corpus_is_read(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "plan_units", no_pass)
    monkeypatch.setattr(align_output.os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(ValueError, match=rf"cannot be written \(nothing can be written into {tmp_path}\)"):
        align_run.prepare(asked)


def test_what_a_store_says_of_model_and_options_is_compared_before_the_corpus_is_read(asked, monkeypatch):
    align_run.prepare(asked)
    monkeypatch.setattr(plan, "plan_units", no_pass)
    with pytest.raises(identity.ForeignStoreError, match=r"dimensions\.k: stored 8, asked for 9") as caught:
        align_run.prepare(dataclasses.replace(asked, k=9))
    assert "corpus_sha256" not in str(caught.value) and "num_rows" not in str(caught.value)
    with pytest.raises(ValueError, match=r"--noresume: .* holds a store already, one that is not finished"):
        align_run.prepare(dataclasses.replace(asked, resume=False))
    with pytest.raises(AssertionError, match="the whole corpus"):
        align_run.prepare(asked)  # of the same run: its corpus is compared next
