"""Evaluation: measures worked out by hand, runs that are read back, the program and the sweep on a small collection."""

import json
import math
import re
import sys

import numpy as np
import pytest
from absl.testing import flagsaver

from keytokens.pipelines import cli, evaluate_retrieval, results
from keytokens.pipelines.retrieval import (
    Index,
    IndexOptions,
    QueryOptions,
    beir,
    bench,
    build,
    evaluation,
    sweep,
    tables,
    trec,
)
from tests import small_collection, small_index, small_run


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> str:
    return small_collection.halves(tmp_path_factory.mktemp("data") / "small")


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
        return {"varied": varied, "least_ratio": ratio, "collections": {"a": {"postings": postings, "ratio": ratio}}}

    said = sweep.conclusion([row("default", 0.95, 100.0), row("m=9", 0.97, 300.0), row("k=3", 0.9, 50.0)])
    assert said.endswith("No dearer and better: none. Better and dearer: m=9 (3.0 times the postings).")


def test_a_conclusion_names_the_collections_that_it_does_not_speak_of():
    def row(varied, ratios):
        found = {name: {"postings": 1.0, "ratio": ratio} for name, ratio in ratios.items()}
        return {"varied": varied, "least_ratio": max(ratios.values()), "collections": found}

    some = sweep.conclusion([row("default", {"a": 0.9, "b": math.nan})])
    assert some.startswith("The default keeps at least 0.900 of dense nDCG@10 on every collection but b, where dense")
    none = sweep.conclusion([row("default", {"b": math.nan}), row("k=3", {"b": math.nan})])
    assert none.startswith("Dense nDCG@10 is 0 on every collection")


def system(scores: dict[str, float]) -> evaluation.System:
    return evaluation.System({"nDCG@10": float(np.mean(list(scores.values())))}, scores, {}, {})


def test_a_ratio_to_nothing_is_undefined():
    systems = {"dense": system({"q1": 0.0, "q2": 0.0}), "bm25": system({"q1": 0.5, "q2": 1.0})}
    found = evaluation.compare(systems, "dense")
    assert math.isnan(found["dense"]["ratio"]) and math.isnan(found["bm25"]["ratio"])
    assert found["bm25"]["difference"] == pytest.approx(0.75)
    assert results.plain(found)["bm25"]["ratio"] is None


def test_a_missing_package_says_how_to_install_it_before_anything_is_embedded(collection, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    directory = tmp_path / "out"
    given = {"model": str(small_run.model_dir()), "beir_dir": [collection], "output_dir": str(directory), "k": 16}
    said = r"not installed: pip install '\.\[retrieval\]' in the repository"
    with flagsaver.flagsaver(**given), pytest.raises(ImportError, match=said):
        evaluate_retrieval.main([])
    assert not directory.exists()


def test_one_query_has_no_t_test():
    found = evaluation.compare({"dense": system({"q1": 0.5}), "bm25": system({"q1": 0.6})}, "dense")
    assert math.isnan(found["dense"]["p_t"]) and math.isnan(found["bm25"]["p_t"])
    assert found["bm25"]["p_randomization"] == 1.0 and found["bm25"]["ratio"] == pytest.approx(1.2)
    two = evaluation.compare({"dense": system({"q1": 0.5, "q2": 0.2}), "bm25": system({"q1": 0.6, "q2": 0.2})}, "dense")
    assert 0 < two["bm25"]["p_t"] < 1


def test_a_collection_that_dense_finds_nothing_of_has_results_and_loses_none(tmp_path, capsys, monkeypatch):
    documents = [(f"d{i}", text) for i, text in enumerate(small_collection.texts())]
    queries = {f"q{i}": "wing flow" for i in range(5)}
    qrels = {**{query: {"gone": 1} for query in queries}, "q0": {"gone": 1, "lost": 1}}
    directories = [small_collection.write(tmp_path / name, documents, queries, qrels) for name in ("first", "second")]
    given = {"model": str(small_run.model_dir()), "beir_dir": directories, "output_dir": str(tmp_path / "out"), "k": 16}
    align = evaluate_retrieval.align

    def fails(config, collection, *arguments, **named):
        if collection.name == "second":
            raise ValueError("no space left")
        return align(config, collection, *arguments, **named)

    monkeypatch.setattr(evaluate_retrieval, "align", fails)
    with flagsaver.flagsaver(**given), pytest.raises(ValueError, match="no space left"):
        evaluate_retrieval.main([])
    found = json.loads((tmp_path / "out" / "results.json").read_text())["found"]
    assert list(found) == ["first"] and found["first"]["judged_absent"] == 2
    assert {system["against_dense"]["ratio"] for system in found["first"]["systems"].values()} == {None}
    out = capsys.readouterr().out
    assert "| bm25 | 0.0000 | — | 1.000 |" in out
    assert "2 judged documents are absent from the corpus, or empty: no system finds them." in out

    directories[1] = small_collection.halves(tmp_path / "halves")
    with flagsaver.flagsaver(**{**given, "beir_dir": directories}, vary_options=True):
        evaluate_retrieval.main([])
    swept = json.loads((tmp_path / "out" / "sweep.json").read_text())["found"]
    for row in swept["rows"]:
        assert row["collections"]["first"]["ratio"] is None
        assert row["least_ratio"] == row["collections"]["halves"]["ratio"] > 0
    assert "on every collection but first, where dense nDCG@10 is 0." in swept["conclusion"]
    assert re.search(r"\| dense \| 0.0000, — \| 0.\d+, 1.000 \| \|", capsys.readouterr().out)


@pytest.fixture(scope="module")
def arguments(tmp_path_factory) -> tuple[beir.Collection, Index]:
    """Queries that are documents, too, and ask for a document of the same words; later rows repeat ids of both."""
    directory, words = tmp_path_factory.mktemp("arguments"), small_collection.texts()
    documents = [(f"q{i}", text) for i, text in enumerate(words[:25])]
    documents += [(f"p{i}", " ".join(reversed(words[i].split()))) for i in range(5)]
    documents += [(f"{kind}{i}", words[30 + i]) for kind in "qp" for i in range(5)]
    queries = {f"q{i}": words[i] for i in range(5)}
    path = small_collection.write(directory / "data", documents, queries, {f"q{i}": {f"p{i}": 1} for i in range(5)})
    collection, config = beir.read_collection(path), small_index.model()
    beam_options = cli.beam_options([])
    url = evaluate_retrieval.align(config, collection, directory, beam_options, k=16)
    build.build(url, IndexOptions(k=16), beam_options, model=config)
    return collection, Index.open(url, model=config)


def test_the_best_row_of_an_id_counts_and_no_query_finds_itself(arguments, monkeypatch):
    collection, index = arguments
    assert collection.in_corpus == set(collection.queries) and index.num_repeated == 10
    found = evaluation.evaluate(index, collection, QueryOptions(mode="bm25"))
    # The query's own document scores as much as the one that is asked for, and stands before it by row and by id.
    assert found.measures["RR@10"] == found.measures["nDCG@10"] == 1.0
    for depth in (100, 1):
        monkeypatch.setattr(bench, "_DEPTH", depth)
        assert bench.Bench(small_index.model(), collection, index.store).literal()["nDCG@10"] == 1.0
    for query, hits in found.run.items():
        ids = [name for name, _ in hits]
        assert len(set(ids)) == len(ids) and query not in ids


@pytest.mark.parametrize("depth", [1, 20, 29])
def test_a_run_is_as_deep_as_it_should_be(arguments, depth):
    collection, index = arguments
    options = QueryOptions(mode="dense")
    found = evaluation.evaluate(index, collection, options, depth=depth)
    for (query, hits), vector in zip(
        found.run.items(), index.encode(list(collection.queries.values()), options), strict=True
    ):
        every = index.rank(vector, 40, options)
        best: dict[str, float] = {}
        for row, score in zip(every.rows.tolist(), every.scores.tolist(), strict=True):
            if index.doc_id(row) != query:
                best[index.doc_id(row)] = max(score, best.get(index.doc_id(row), -2.0))
        expected = sorted(best.items(), key=lambda item: -item[1])[:depth]
        assert len(hits) == depth and [score for _, score in hits] == [score for _, score in expected]


def test_a_table_says_which_queries_are_documents(arguments):
    collection, _ = arguments
    found = {
        "collection": "arguments",
        "documents": 40,
        "queries": 5,
        "seconds": {},
        "systems": {},
        "skipped": {},
        "judged_absent": collection.num_absent,
        "queries_in_corpus": len(collection.in_corpus),
    }
    shown = tables.render_evaluation(found)
    assert "5 queries are documents, too, and do not count as their own hits." in shown
    assert "judged documents" not in shown
