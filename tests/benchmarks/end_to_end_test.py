"""The arithmetic of the benchmark on times made by hand; no rival is needed."""

import argparse
import itertools
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.benchmarks import end_to_end
from tests.benchmarks.race import agreement, batches, clock, contestant, rounds, workloads


def test_ratios_are_of_one_round_and_not_of_medians():
    # The machine was three times slower in the second round: medians of times would say 1.5.
    times = {"ours": [1.0, 3.0, 1.0], "rival": [2.0, 6.0, 1.5]}
    found = rounds.speeds(times, 12, against=["rival", "absent"])
    assert found["ours"] == rounds.Speed(12.0, 4.0, 12.0, {"rival": 2.0})
    assert found["rival"] == rounds.Speed(6.0, 2.0, 8.0, {"rival": 1.0})


def test_contestants_that_missed_a_round_have_no_ratio():
    with pytest.raises(ValueError, match=r"rounds differ.*every round"):
        rounds.speeds({"a": [1.0], "b": [1.0, 2.0]}, 1, against=["a"])


def test_the_fastest_has_the_least_median_and_must_have_run():
    times = {"steady": [2.0, 2.0, 2.0], "lucky": [0.1, 3.0, 3.0], "ours": [1.0, 1.0, 1.0]}
    assert rounds.fastest_of(times, ["lucky", "steady", "not installed"]) == "steady"
    assert rounds.fastest_of(times, ["not installed"]) is None


def test_every_round_has_everybody_in_changing_but_repeatable_order():
    orders = rounds.turns("abcdef", 6)
    assert all(sorted(order) == list("abcdef") for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert orders == rounds.turns("abcdef", 6)


def test_a_disturbed_turn_is_repeated_and_the_least_disturbed_counts(monkeypatch):
    # What others take, in seconds of CPU time a try, while ours takes none and a turn takes one second on one core.
    for taken, tries, expected, ran in (
        ([0.5, 0.02, 0.0], 3, 0.02, 2),
        ([0.5, 0.3, 0.4], 3, 0.3, 3),
        ([0.5, 0.0], 1, 0.5, 1),
    ):
        busy = iter([value for each in taken for value in (0.0, each)])
        now = itertools.count()
        monkeypatch.setattr(clock, "_busy_seconds", busy.__next__)
        monkeypatch.setattr(clock.time, "perf_counter", now.__next__)
        monkeypatch.setattr(clock.time, "process_time", lambda: 0.0)
        monkeypatch.setattr(clock.time, "sleep", lambda seconds: None)
        monkeypatch.setattr(clock.os, "cpu_count", lambda: 1)
        calls = []
        turn = clock.timed(lambda calls=calls: calls.append(1), most_others=0.1, tries=tries)
        assert (turn.others, turn.seconds, len(calls)) == (expected, 1, ran)


def test_sorted_batches_cover_everything_within_the_budget():
    lengths = [5, 100, 1, 5, 7, 30, 2]
    found = batches.sorted_batches(lengths, 19)
    assert found == [[2, 6, 0], [3, 4], [5], [1]]  # 3 x 5, 2 x 7, and texts longer than the budget alone
    assert batches.sorted_batches(lengths, 20)[0] == [2, 6, 0, 3]
    assert batches.computed_tokens(lengths, found) == 15 + 14 + 30 + 100
    assert batches.sorted_batches([], 20) == []


def test_agreement_by_hand():
    vectors = np.array([[1.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(agreement.cosines(vectors, np.array([[0.0, 2.0], [6.0, 8.0]])), [0.0, 1.0], atol=1e-15)
    # 2 of 4 different tokens shared, then all 3 of 3 in another order.
    assert agreement.mean_jaccard(np.array([[1, 2, 3], [1, 2, 3]]), np.array([[1, 2, 4], [3, 2, 1]])) == (2 / 4 + 1) / 2


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (agreement.Agreement(0.98, 0.9, 0.5, same_texts=True), "0.9800"),
        (agreement.Agreement(float("nan"), 0.9, 0.5, same_texts=True), "nan"),
        (agreement.Agreement(None, None, None, same_texts=False), "number of rows"),
        (agreement.Agreement(0.9999, 0.5, 0.5, same_texts=True), ""),
        (agreement.Agreement(None, None, 1.0, same_texts=True), ""),
    ],
)
def test_what_does_not_compute_the_same_is_refused(found, said):
    assert (said in found.failure()) and bool(found.failure()) == bool(said)


class _HandMade:
    """A reference whose vectors are rows of the identity."""

    def load(self, workload):
        return self

    num_tokens = 6

    def compare(self, outcome):
        near = agreement.cosines(outcome.vectors, np.eye(2))
        return agreement.Agreement(float(near.mean()), float(near.min()), 1.0, same_texts=True)


def _contestants(tmp_path):
    workload = workloads.write("two", "hand", ["a b", "c"], tmp_path)
    chosen = [
        contestant.Contestant("ours, float32", "ours", lambda subject: None),
        contestant.Contestant("wrong", "rival", lambda subject: None),
        contestant.Contestant("missing", "rival", _missing),
    ]
    return workload, chosen


def _missing(subject):
    contestant.package("a_package_that_nobody_has")


def _race(workload, chosen, runs):
    asked = argparse.Namespace(rounds=2, most_others=0.1, tries=1)
    return end_to_end.race(_Subject, chosen, workload, runs, _HandMade(), asked)


class _Subject:
    name = "hand-made"


def test_a_contestant_of_other_vectors_ends_the_benchmark_and_a_missing_one_is_named(tmp_path, capsys):
    workload, chosen = _contestants(tmp_path)
    built = end_to_end.build(_Subject, chosen)
    assert list(built) == ["ours, float32", "wrong"]
    assert "not installed: missing needs a_package_that_nobody_has" in capsys.readouterr().err
    runs = {
        "ours, float32": lambda load: contestant.Outcome(np.eye(2), computed_tokens=8),
        "wrong": lambda load: contestant.Outcome(np.eye(2)[::-1]),
    }
    with pytest.raises(ValueError, match="wrong on two does not compute"):
        _race(workload, chosen, runs)
    runs["wrong"] = lambda load: contestant.Outcome(2 * np.eye(2))
    result = _race(workload, chosen, runs)
    assert result["fastest_rival"] == "wrong"
    assert result["contestants"]["ours, float32"]["padding"] == 0.25
    lines = end_to_end.render(result).splitlines()
    assert lines[0].startswith("hand-made, two: 2 texts of hand, 3.0 tokens each, 2 rounds; fastest rival: wrong")
    assert len({line.count("|") for line in lines[2:]}) == 1
    assert lines[-1].startswith("| missing | not installed |")


def test_texts_of_files_and_samples(tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("one two\n\n  three \n", "utf-8")
    assert workloads.read_texts(lines) == ["one two", "three"]
    beir = tmp_path / "corpus.jsonl"
    records = [{"_id": "1", "title": "A title", "text": "a text"}, {"_id": "2", "title": "", "text": ""}]
    beir.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    assert workloads.read_texts(beir) == ["A title a text"]
    empty = tmp_path / "empty.txt"
    empty.write_text("\n", "utf-8")
    with pytest.raises(ValueError, match="holds no text"):
        workloads.read_texts(empty)
    texts = ["a b c", "d e", "f", "g h i j"]
    found = workloads.sample(texts, num_texts=3, num_words=5)
    assert set(found) < set(texts) and sum(len(text.split()) for text in found) <= 5
    assert workloads.sample(texts, num_texts=9, num_words=0) == found[:1]
    written = workloads.write("some", "hand", found, tmp_path)
    assert workloads.read_texts(written.path) == list(written.texts)


def test_the_benchmarks_own_texts_are_as_long_as_it_says():
    found = workloads.from_python_documentation()
    assert list(found) == ["short", "medium", "mixed"]
    words = {name: np.array([len(text.split()) for text in texts]) for name, texts in found.items()}
    assert min(map(len, words.values())) >= 300
    assert words["short"].max() <= 25
    assert words["medium"].min() >= 100 and words["medium"].max() <= 250
    assert np.percentile(words["mixed"], 90) > 5 * np.percentile(words["mixed"], 10)


def test_measured_processes_do_not_load_what_they_do_not_need():
    # Peak memory of a rival must not hold ours, nor ours a rival: contestants import when they are built.
    heavy = {"jax", "keytokens", "onnxruntime", "sentence_transformers", "torch", "transformers"}
    asked = f"import sys, tests.benchmarks.end_to_end; print(*{heavy} & sys.modules.keys())"
    root = pathlib.Path(end_to_end.__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", asked], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
