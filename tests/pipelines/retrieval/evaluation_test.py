"""Evaluation: measures worked out by hand, runs that are read back, the program and the sweep on a small collection."""

import json
import math
import pathlib

import numpy as np
import pytest
from absl.testing import flagsaver

from keytokens.pipelines import evaluate_retrieval
from keytokens.pipelines.retrieval import beir, evaluation, sweep, trec
from tests import small_run, tiny_checkpoint


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> str:
    """Forty documents; a query asks for the words of one of them."""
    directory, rng = tmp_path_factory.mktemp("data") / "small", np.random.default_rng(0)
    (directory / "qrels").mkdir(parents=True)
    documents = [" ".join(rng.choice(tiny_checkpoint.WORDS, 12)) for _ in range(40)]
    lines = [json.dumps({"_id": f"d{i}", "title": "", "text": text}) for i, text in enumerate(documents)]
    (directory / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    queries = [{"_id": f"q{i}", "text": " ".join(documents[i].split()[:6])} for i in range(6)]
    (directory / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
    qrels = "".join(f"q{i}\td{i}\t2\nq{i}\td{i + 10}\t0\n" for i in range(5))
    (directory / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    return str(directory)


def test_measures_by_hand():
    qrels = {"q1": {"a": 2, "b": 1, "c": 0}, "q2": {"x": 1}}
    run = {"q1": [("c", 3.0), ("a", 2.0), ("z", 1.0)], "q2": [("x", 1.0)]}
    measures, per_query = evaluation.measure(qrels, run)
    ideal = 2 + 1 / math.log2(3)
    assert per_query == pytest.approx({"q1": (2 / math.log2(3)) / ideal, "q2": 1.0})
    assert measures["nDCG@10"] == pytest.approx(np.mean(list(per_query.values())))
    assert measures["R@100"] == pytest.approx((1 / 2 + 1) / 2)
    assert measures["RR@10"] == pytest.approx((1 / 2 + 1) / 2)
    assert measures["AP"] == pytest.approx((1 / 2 / 2 + 1) / 2)


def test_a_run_is_read_back_as_written(tmp_path):
    run = {"q1": [("d1", 0.1 + 0.2), ("d2", 1e-30)], "q2": []}
    trec.write_run(tmp_path / "run", run, tag="t")
    assert trec.read_run(tmp_path / "run") == {"q1": run["q1"]}
    with pytest.raises(ValueError, match="white space"):
        trec.write_run(tmp_path / "run", {"q": [("a b", 1.0)]}, tag="t")


def test_unjudged_queries_are_left_out(collection):
    found = beir.read_collection(collection)
    assert list(found.queries) == [f"q{i}" for i in range(5)] and found.qrels["q1"] == {"d1": 2, "d11": 0}


@pytest.mark.parametrize(
    "path, text, message",
    [
        ("qrels/test.tsv", None, "qrels.*is missing|test.tsv is missing"),
        ("qrels/test.tsv", "1 0 d1 1\n", "columns query-id, corpus-id and score"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq0\td0\thigh\n", "line 2.*no judgement"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq99\td0\t1\n", "lacks 1 judged queries, the first 'q99'"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n", "judges no query"),
        ("queries.jsonl", "[]\n", "queries.jsonl:1 is no query"),
    ],
)
def test_broken_collections_are_refused(collection, tmp_path, path, text, message):
    (tmp_path / "qrels").mkdir()
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        (tmp_path / name).write_text((pathlib.Path(collection) / name).read_text())
    if text is None:
        (tmp_path / path).unlink()
    else:
        (tmp_path / path).write_text(text)
    with pytest.raises(ValueError, match=message):
        beir.read_collection(str(tmp_path))


def test_the_program_measures_every_system_and_the_sweep_every_option(collection, tmp_path, capsys):
    given = {"model": str(small_run.model_dir()), "beir_dir": [collection], "output_dir": str(tmp_path)}
    with flagsaver.flagsaver(**given), pytest.raises(ValueError, match="--k=256 must be between"):
        evaluate_retrieval.main([])
    with flagsaver.flagsaver(**given, k=16):
        evaluate_retrieval.main([])
    out = capsys.readouterr().out
    found = json.loads((tmp_path / "results.json").read_text())["found"]["small"]
    assert set(found["systems"]) == set(evaluation.SYSTEMS) and not found["skipped"]
    for name, system in found["systems"].items():
        assert f"| {name} | {system['nDCG@10']:.4f} |" in out
        assert set(system["cost"]) >= {"postings", "multiply_adds", "bytes_per_document", "queries_per_sec", "p99_msec"}
    # A query of half a document's words must find it by those words.
    assert found["systems"]["bm25"]["nDCG@10"] > 0.9
    assert found["systems"]["dense"]["against_dense"]["ratio"] == 1.0
    run = trec.read_run(tmp_path / "small" / "sparse.trec")
    qrels = beir.read_collection(collection).qrels
    assert evaluation.measure(qrels, run)[0]["nDCG@10"] == pytest.approx(found["systems"]["sparse"]["nDCG@10"])

    with flagsaver.flagsaver(**given, k=16, vary_options=True):
        evaluate_retrieval.main([])
    swept = json.loads((tmp_path / "sweep.json").read_text())["found"]
    assert len(swept["rows"]) == len(sweep.rows())
    default = swept["rows"][0]
    # Both default to k = 256, which this vocabulary does not have: all its tokens.
    assert default["varied"] == "default" and swept["conclusion"].startswith("The default keeps at least")
    assert swept["references"]["small"]["dense"]["nDCG@10"] == pytest.approx(found["systems"]["dense"]["nDCG@10"])
    assert swept["references"]["small"]["bm25"]["nDCG@10"] == pytest.approx(found["systems"]["bm25"]["nDCG@10"])


def test_a_conclusion_says_who_is_better_at_what_cost():
    def row(varied, ratio, postings):
        return {"varied": varied, "least_ratio": ratio, "collections": {"a": {"postings": postings}}}

    said = sweep.conclusion([row("default", 0.95, 100.0), row("m=9", 0.97, 300.0), row("k=3", 0.9, 50.0)])
    assert said.endswith("No dearer and better: none. Better and dearer: m=9 (3.0 times the postings).")
