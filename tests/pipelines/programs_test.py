"""The programs as their users run them: flags in, files and text out, mistakes in one clear line."""

import itertools
import json
import os
import pathlib
import subprocess
import sys

import pytest
from absl.testing import flagsaver

from keytokens.pipelines import (
    align_corpus,
    cli,
    compare_spectra,
    explain_instruction,
    explain_pair,
    explain_text,
    make_demo_corpus,
    measure_alignment,
    write_report,
)

TEXTS = ["the wing in supersonic flow", "heat transfer to a cone", "", "a jet of air", "boundary layer theory"]


@pytest.fixture(scope="module")
def store(tmp_path_factory, checkpoint, backbone) -> pathlib.Path:
    """A store written by the program itself."""
    directory = tmp_path_factory.mktemp("run")
    (directory / "docs.txt").write_text("\n".join(TEXTS))
    with flagsaver.flagsaver(
        model=checkpoint,
        backbone=backbone,
        corpus=[str(directory / "docs.txt")],
        output=str(directory / "out.zarr"),
        k=7,
        unit_rows=2,
    ):
        align_corpus.main([])
    return directory / "out.zarr"


def test_align_corpus_writes_a_store_and_a_report_and_shows_examples(store, checkpoint, capsys, tmp_path):
    again = str(tmp_path / "again.zarr")
    corpus = [str(store.parent / "docs.txt")]
    with flagsaver.flagsaver(model=checkpoint, corpus=corpus, output=again, num_examples=2, k=7, unit_rows=2):
        align_corpus.main([])
    out = capsys.readouterr().out
    assert "docs.txt:1: the wing in supersonic flow" in out and out.count("->") == 2
    assert "5 rows: 4 embedded, 1 dead letters" in out and f"{tmp_path}/again.zarr/run/report.html" in out
    page = (tmp_path / "again.zarr" / "run" / "report.html").read_text("utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert "docs.txt:5" in page, "the last text is an example"


def test_compare_spectra_writes_into_the_store_and_beside_it(store, tmp_path, capsys):
    with flagsaver.flagsaver(store=str(store), output_dir=str(tmp_path / "plots"), num_angles=3):
        compare_spectra.main([])
    out = capsys.readouterr().out
    assert "embedder: 4 texts" in out and "variation: v_1 =" in out
    [found] = json.loads((tmp_path / "plots" / "spectra.json").read_text())["embedders"]
    assert found["errors"]["num_groups"] == 3, "as many as units"
    assert len(found["comparison"]["principal_angles_rad"]) == 3
    assert (store / "spectra" / "embedder" / "components" / "zarr.json").exists()
    names = ["explained_variance", "principal_angles", "singular_values", "variation"]
    assert sorted(path.stem for path in (tmp_path / "plots").glob("*.png")) == names
    for name in names:
        assert (tmp_path / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / "plots" / f"{name}.svg").read_text("utf-8")
    assert (tmp_path / "plots" / "spectra.csv").read_text().count("\n") == 17


def test_explain_text_prints_key_tokens_and_writes_them(checkpoint, tmp_path, capsys):
    with flagsaver.flagsaver(
        model=checkpoint, text=["the wing", "heat, a \x1b[31mjet"], k=4, output=str(tmp_path / "tokens.json")
    ):
        explain_text.main([])
    out = capsys.readouterr().out
    assert "text 1: the wing" in out and "text 2:" in out and "\x1b" not in out
    written = json.loads((tmp_path / "tokens.json").read_text())
    assert [len(example["key_tokens"]) for example in written] == [4, 4]
    weights = [token["weight"] for token in written[0]["key_tokens"]]
    assert weights == sorted(weights, reverse=True)


def test_explain_text_refuses_an_empty_text_and_too_many_tokens(checkpoint):
    with (
        flagsaver.flagsaver(model=checkpoint, text=["the wing", " "]),
        pytest.raises(ValueError, match="number 2 is empty"),
    ):
        explain_text.main([])
    with (
        flagsaver.flagsaver(model=checkpoint, text=["a"], k=10**6),
        pytest.raises(ValueError, match=r"--k=1000000 must"),
    ):
        explain_text.main([])


def test_the_demo_corpus_is_real_prose_and_the_same_every_time(tmp_path):
    documents = list(make_demo_corpus.documents())
    assert len(documents) == 3000
    assert documents[:500] == list(itertools.islice(make_demo_corpus.documents(), 500))
    assert len({document["_id"] for document in documents}) == len(documents)
    assert all(len(document["text"].split()) >= 12 for document in documents)


def test_an_option_that_beam_would_drop_is_refused():
    assert cli.beam_options(["--direct_num_workers=2"]).get_all_options()["runner"] == "FnApiRunner"
    assert cli.beam_options(["--runner=DirectRunner"]).get_all_options()["runner"] == "DirectRunner"
    with pytest.raises(ValueError, match="--direct_num_wokers=2: no option of Beam"):
        cli.beam_options(["--direct_num_wokers=2"])


def run_program(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=120, env=dict(os.environ)
    )


def test_a_mistake_is_one_line_on_stderr_and_status_2():
    done = run_program("keytokens.pipelines.inspect_store", "--store=/nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("error: /nowhere holds no store.") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("flag", ["output", "html"])
@pytest.mark.parametrize("program", [explain_text, explain_pair, explain_instruction])
def test_a_file_that_could_not_be_written_is_refused_before_the_model_is_read(program, flag, tmp_path):
    for path, message in (
        (tmp_path / "none" / "x.json", f"--{flag}=.*x.json: there is no directory .*none, so that nothing"),
        (tmp_path, f"--{flag}=.* is a directory, and a file is to be written"),
    ):
        options = {"model": "/nowhere", "text": ["a"], flag: str(path)}
        with flagsaver.flagsaver(**options), pytest.raises(ValueError, match=message):
            program.main([])
    assert not (tmp_path / "none").exists()


def test_a_file_that_may_not_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cli.os, "access", lambda path, mode: False)
    with (
        flagsaver.flagsaver(output=str(tmp_path / "x.json")),
        pytest.raises(ValueError, match=r"--output=.*x\.json may not be written by you\. Name another file"),
    ):
        cli.check_output_files()


def test_only_what_another_path_mends_is_said_to_be_mended_so():
    assert cli._of_the_system(OSError(28, "No space left on device", "out.csv")) == "out.csv: No space left on device"


def test_a_report_that_could_not_be_written_is_refused_before_the_store_is_read(tmp_path):
    with (
        flagsaver.flagsaver(store="/nowhere", output=str(tmp_path / "none" / "r.html")),
        pytest.raises(ValueError, match=r"--output=.*r\.html: there is no directory"),
    ):
        write_report.main([])


@pytest.mark.parametrize("program", [measure_alignment, compare_spectra])
def test_a_directory_that_cannot_be_made_is_one_clear_error(program, store, tmp_path):
    (tmp_path / "file").write_text("")
    with (
        flagsaver.flagsaver(store=str(store), output_dir=str(tmp_path / "file" / "out"), k=5),
        pytest.raises(ValueError, match=r"--output_dir=.*file/out can be no directory for results: Not a directory"),
    ):
        program.main([])


def test_a_path_that_the_system_refuses_is_one_line_on_stderr_and_status_2(tmp_path):
    """What no program has checked ends as a mistake all the same."""
    (tmp_path / "folder.txt").mkdir()
    program = tmp_path / "program.py"
    program.write_text(
        "import pathlib, sys\n"
        "from keytokens.pipelines import cli\n"
        "def main(argv):\n"
        "    pathlib.Path(argv[0]).read_text() if argv else open(10**6)\n"
        "cli.run(main, required=[])\n"
    )
    for argument, said in (
        ("none/at_all.txt", "error: none/at_all.txt: No such file or directory. Name a path that exists"),
        (str(tmp_path / "folder.txt"), f"error: {tmp_path}/folder.txt: Is a directory. Name a path"),
        ("", "error: OSError: [Errno 9] Bad file descriptor"),
    ):
        done = subprocess.run(
            [sys.executable, program, *([argument] if argument else [])], capture_output=True, text=True
        )
        assert done.returncode == 2 and done.stderr.startswith(said) and done.stderr.count("\n") == 1


def test_help_is_the_docstring_and_the_programs_own_flags():
    done = run_program("keytokens.pipelines.align_corpus", "--help")
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.lstrip().startswith("Decodes a corpus into key tokens")
    assert "--corpus" in done.stdout and "--model" in done.stdout and "--[no]save_embeddings" in done.stdout


def test_a_shared_flag_of_another_program_is_refused_not_ignored(checkpoint):
    done = run_program("keytokens.pipelines.explain_text", f"--model={checkpoint}", "--text=a", "--store=x")
    assert done.returncode == 2 and "error: --store: no flag of this program" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--store, --output: must be given, there is no default"),
        (["--store=x"], "--output: must be given"),
        (["--stroe=x"], "Unknown command line flag 'stroe'. Did you mean: store ?"),
        (["--k=none"], "flag --k=none: "),
    ],
)
def test_flags_that_make_no_start_are_one_line_and_status_2(arguments, said, capsys):
    with flagsaver.flagsaver(store=None, output=None), pytest.raises(SystemExit) as left:
        cli._parse_flags(["program", *arguments], ["store", "output"])
    printed = capsys.readouterr().err
    assert left.value.code == 2 and printed.startswith(f"error: {said}") and printed.count("\n") == 1


def test_a_required_flag_that_is_missing_is_named():
    done = run_program("keytokens.pipelines.compare_spectra")
    assert (
        done.returncode == 2
        and done.stderr == "error: --store: must be given, there is no default (--help lists the flags)\n"
    )
