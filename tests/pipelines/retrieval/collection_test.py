"""Collections in BEIR's layout: what is read, what is refused before any text is embedded, which ids are the same."""

import gzip
import json
import pathlib

import pytest

from keytokens.pipelines.retrieval import beir
from tests import small_collection


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> str:
    return small_collection.halves(tmp_path_factory.mktemp("data") / "small")


def copied(collection: str, directory: pathlib.Path, path: str, text: str | None) -> str:
    """The collection with another text in one of its files, or without the file."""
    (directory / "qrels").mkdir()
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        (directory / name).write_text((pathlib.Path(collection) / name).read_text())
    if text is None:
        (directory / path).unlink()
    else:
        (directory / path).write_text(text)
    return str(directory)


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
        ("queries.jsonl", '{"_id": "q0", "text": ["wing"]}\n', "queries.jsonl:1 is no query: its text is of type list"),
        (
            "queries.jsonl",
            "".join(json.dumps({"_id": f"q{i}", "text": " " * (i == 3)}) + "\n" for i in (3, 0, 1, 2, 4)),
            "the text of query 'q3' is empty.*Leave it out of .*test.tsv",
        ),
        (
            "qrels/test.tsv",
            "query-id\tcorpus-id\tscore\nq 0\td0\t1\n",
            "lacks 1 judged queries, the first 'q 0'",
        ),
        (
            "corpus.jsonl",
            '{"_id": "d0", "text": "wing"}\n{"_id": "d 1", "text": "flow"}\n',
            "corpus.jsonl, line 2: document 'd 1': an id in a TREC run must not be empty or hold white space",
        ),
    ],
)
def test_broken_collections_are_refused(collection, tmp_path, path, text, message):
    broken = copied(collection, tmp_path, path, text)
    with pytest.raises(ValueError, match=message):
        beir.read_collection(broken)


def test_an_id_of_a_query_that_no_run_can_hold_is_refused(tmp_path):
    directory = small_collection.write(tmp_path / "spaced", [("d", "wing")], {"q 1": "wing"}, {"q 1": {"d": 1}})
    with pytest.raises(ValueError, match=r"queries.jsonl: query 'q 1': an id in a TREC run.*Rename it there"):
        beir.read_collection(directory)


def test_corpus_and_queries_may_be_gzip(collection, tmp_path):
    squeezed = copied(collection, tmp_path, "qrels/test.tsv", (pathlib.Path(collection) / "qrels/test.tsv").read_text())
    for name in ("corpus.jsonl", "queries.jsonl"):
        path = tmp_path / name
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    found, plain = beir.read_collection(squeezed), beir.read_collection(collection)
    assert (found.queries, found.qrels, found.num_absent) == (plain.queries, plain.qrels, 0)
    path = tmp_path / "corpus.jsonl.gz"
    whole = path.read_bytes()
    for harmed in (b"no gzip", whole[:-9], whole[:20] + bytes(20) + whole[40:]):
        path.write_bytes(harmed)
        with pytest.raises(ValueError, match=r"corpus.jsonl.gz cannot be read \(.*nothing was embedded"):
            beir.read_collection(squeezed)


def test_judgements_that_are_no_text_are_refused(collection, tmp_path):
    broken = copied(collection, tmp_path, "qrels/test.tsv", "")
    (tmp_path / "qrels/test.tsv").write_bytes(b"query-id\tcorpus-id\tscore\nq\xff\td0\t1\n")
    with pytest.raises(ValueError, match=r"test.tsv cannot be read \(.utf-8. codec"):
        beir.read_collection(broken)


def test_queries_that_are_not_judged_may_be_empty(tmp_path):
    queries = {"q0": "wing", "q1": ""}
    found = beir.read_collection(small_collection.write(tmp_path / "some", [("d", "wing")], queries, {"q0": {"d": 1}}))
    assert found.queries == {"q0": "wing"}


def test_judged_documents_that_the_corpus_does_not_have_are_counted(tmp_path):
    documents = [("d0", "wing"), ("d1", "flow"), ("d2", " ")]  # an empty document cannot be embedded
    qrels = {"q0": {"d0": 1, "d2": 1, "gone": 1}, "q1": {"gone": 0, "lost": 2}}
    found = beir.read_collection(
        small_collection.write(tmp_path / "lossy", documents, {"q0": "wing", "q1": "flow"}, qrels)
    )
    assert found.num_absent == 3


def test_ids_are_the_same_only_where_they_stand_for_the_same_texts(tmp_path):
    """In ArguAna a query is a document without its title; in CISI both are numbered from 1, and 23 answers 23."""
    queries = {"1": "a wing", "2": "the  flow", "3": "heat", "9": "a jet"}
    qrels = {name: {"1": 1} for name in queries}
    argued = [("1", "title a wing"), ("2", "the flow"), ("3", "the heat of a plate"), ("4", "heat")]
    numbered = [("1", "a wing"), ("2", "flow"), ("3", "plate"), ("4", "heat")]
    same = beir.read_collection(small_collection.write(tmp_path / "same", argued, queries, qrels))
    assert same.in_corpus == {"1", "2", "3"}
    assert (same.excluded("1"), same.excluded("9")) == ("1", None)
    apart = beir.read_collection(small_collection.write(tmp_path / "apart", numbered, queries, qrels))
    assert apart.in_corpus == frozenset() and apart.excluded("1") is None
