"""What a person who watches a run reads."""

import io

from keytokens.pipelines import align_run, progress, unit_work
from tests import small_run


class Terminal(io.StringIO):
    def isatty(self):
        return True


def watch(run, units, stream, **arguments) -> str:
    with progress.Progress(run, stream=stream, **arguments):
        for unit in units:
            unit_work.process(run, unit)
    return stream.getvalue()


def test_a_terminal_gets_one_line_with_bar_rates_padding_and_dead_letters(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run, planned = align_run.prepare(small_run.options(tmp_path))
    text = watch(run, planned.units, Terminal())
    last = text.split("\r\x1b[K")[-1]
    assert text.count("\n") == 1 and last.startswith("[##########] 6/6 units, 90/90 texts, ")
    for words in ("% padding", "5 dead letters", " texts/s, ", " tokens/s, ", "0:00 left"):
        assert words in last


def test_a_narrow_terminal_is_not_wrapped(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    run, planned = align_run.prepare(small_run.options(tmp_path))
    text = watch(run, planned.units[:1], Terminal())
    assert len(text.split("\r\x1b[K")[-1].rstrip("\n")) == 39


def test_a_resumed_run_counts_only_its_own_time(tmp_path):
    run, planned = align_run.prepare(small_run.options(tmp_path))
    watch(run, planned.units[:3], io.StringIO())
    text = watch(run, [], io.StringIO())
    assert text.startswith("resuming: 3/6 units, 48/90 texts") and "texts/s" not in text


def test_an_empty_corpus_has_a_line_too(tmp_path):
    (tmp_path / "none.jsonl").write_bytes(b"")
    run, _ = align_run.prepare(small_run.options(tmp_path, corpus=(str(tmp_path / "none.jsonl"),)))
    assert watch(run, [], io.StringIO()) == "0/0 units, 0/0 texts\n"
