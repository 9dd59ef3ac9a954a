"""Searching: the engine against brute force, modes, explanations, queries without the model, and clear refusals."""

import dataclasses
import gzip
import io
import json

import numpy as np
import pytest
from absl.testing import flagsaver

from keytokens.pipelines import cli, encoder, search_corpus
from keytokens.pipelines.analysis import bm25
from keytokens.pipelines.retrieval import Index, QueryOptions, engine, trec
from keytokens.pipelines.retrieval.postings import Gathered
from tests import small_index, small_run

TEXTS = ["heat transfer in a boundary layer", "supersonic wing", "the cone and the plate of results xyzzy"]


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> str:
    return small_index.copy(tmp_path_factory.mktemp("searched"), indexed=True)


@pytest.fixture(scope="module")
def index(url) -> Index:
    return Index.open(url, model=small_index.model())


@pytest.fixture(scope="module")
def dense(url) -> small_index.Dense:
    return small_index.reference(url)


def brute_force(dense: small_index.Dense, vector, mode: str) -> np.ndarray:
    """Scores of all rows from the dense matrices, one product a field."""
    vocab_size = dense.key.shape[1]
    query = np.zeros((2, vocab_size))
    query[0, vector.key_columns] = vector.key_weights
    query[1, vector.literal_columns - vocab_size] = vector.literal_weights
    fields = [dense.key @ query[0], dense.literal @ query[1]]
    if mode == "fused":
        alive = dense.literal.any(1)
        return sum(field / field[alive].std() for field in fields)
    return fields[("sparse", "bm25").index(mode)]


@pytest.mark.parametrize("mode", ["sparse", "bm25", "fused"])
@pytest.mark.parametrize("memory", ["load", "stored"])
def test_scores_and_ranking_equal_brute_force(url, dense, mode, memory):
    index, options = Index.open(url, memory=memory, model=small_index.model()), QueryOptions(mode=mode)
    for vector in index.encode(TEXTS, options):
        expected = brute_force(dense, vector, mode)
        scores, touched = index.scores(vector, options)
        # Impacts are float32, and computed from float32 logits.
        np.testing.assert_allclose(np.where(np.isfinite(scores), scores, 0), expected, atol=2e-4)
        columns = [*vector.key_columns] * (mode != "bm25") + [*vector.literal_columns] * (mode != "sparse")
        assert touched == sum(int(index.postings.frequencies(np.array([column]))[0]) for column in columns)
        ranking = index.rank(vector, 20, options)
        wanted = np.argsort(-scores, kind="stable")[: min(20, int(np.isfinite(scores).sum()))]
        np.testing.assert_array_equal(ranking.rows, wanted)


def test_query_weights_are_logits_times_the_root_of_idf(index):
    (vector,) = index.encode(TEXTS[:1], QueryOptions(m=6))
    (unweighted,) = index.encode(TEXTS[:1], QueryOptions(m=6, idf_power=0))
    assert len(vector.key_columns) == 6
    idf = bm25.idf(index.postings.frequencies(vector.key_columns), index.num_documents)
    np.testing.assert_allclose(vector.key_weights, unweighted.key_weights * np.sqrt(idf), rtol=1e-5)


def test_the_best_rows_are_exact_with_ties_and_exclusions():
    rng = np.random.default_rng(0)
    for k in (1, 5, 37, 60, 100):
        scores = rng.integers(0, 6, 60).astype(float)
        allowed = rng.random(60) < 0.7
        expected = [row for row in np.argsort(-scores, kind="stable") if allowed[row]][:k]
        assert engine.best(scores, k, allowed=allowed).tolist() == expected
    assert engine.best(np.zeros(4), 2, allowed=np.zeros(4, bool)).tolist() == []


def test_accumulation_by_hand():
    gathered = Gathered(np.array([0, 2, 2], np.int32), np.array([1, 2, 3], np.float32), np.array([0, 2, 3]))
    assert engine.accumulate(gathered, np.array([10.0, 0.5]), 4).tolist() == [10, 0, 21.5, 0]


def test_dense_search_is_cosine(index):
    (hits,) = index.search(TEXTS[:1], 5, options=QueryOptions(mode="dense"))
    embeddings = index.store.embeddings(0, index.store.dims.num_rows).astype(np.float64)
    (vector,) = index.encode(TEXTS[:1], QueryOptions(mode="dense"))
    assert np.linalg.norm(vector.embedding) == pytest.approx(1)
    norms = np.linalg.norm(embeddings, axis=1)
    cosine = embeddings @ vector.embedding / np.where(norms > 0, norms, 1)
    cosine[norms == 0] = -2
    best = np.argsort(-cosine, kind="stable")[:5]
    assert [hit.row for hit in hits] == best.tolist() and not hits[0].why
    np.testing.assert_allclose([hit.score for hit in hits], cosine[best], rtol=1e-5)


def test_shares_of_all_matched_tokens_sum_to_one_and_are_the_products(index, dense):
    options = QueryOptions(mode="sparse")
    (vector,) = index.encode(TEXTS[:1], options)
    (hits,) = index.search(TEXTS[0], 3, explained=1000)
    for hit in hits:
        assert len(hit.why) == hit.num_matched and sum(match.share for match in hit.why) == pytest.approx(1)
        weights = dict(zip(vector.key_columns.tolist(), vector.key_weights.tolist(), strict=True))
        column = index.tokens.index(hit.why[0].token)
        assert hit.why[0].share * hit.score == pytest.approx(dense.key[hit.row, column] * weights[column], rel=1e-3)
        assert list(hit.why) == sorted(hit.why, key=lambda match: -match.share)
    (fused,) = index.search(TEXTS[0], 1, options=QueryOptions(mode="fused"), explained=1000)
    assert sum(match.share for match in fused[0].why) == pytest.approx(1)
    assert {match.literal for match in fused[0].why} == {True, False}


def test_dead_letters_are_never_found_and_hits_carry_their_ids(index):
    dead = set(np.flatnonzero(index.store.column("dead_letter")).tolist())
    ids = list(index.store.doc_ids())
    for mode in ("sparse", "bm25", "fused", "dense"):
        (hits,) = index.search("heat flow of a wing", 1000, options=QueryOptions(mode=mode))
        assert not dead & {hit.row for hit in hits} and all(hit.doc_id == ids[hit.row] for hit in hits)


def test_queries_without_the_model(index, monkeypatch):
    by_model = index.encode(TEXTS, QueryOptions(m=30))
    fresh = Index.open(index.store.files.url, model=small_index.model())
    monkeypatch.setattr(encoder, "shared_encoder", lambda *a, **k: pytest.fail("the model was loaded"))
    by_table = fresh.encode(TEXTS, QueryOptions(m=30, queries="table"))
    for mine, models_own in zip(by_table, by_model, strict=True):
        assert 0 < len(mine.key_columns) <= 30 and mine.key_weights.min() > 0
        np.testing.assert_array_equal(mine.literal_columns, models_own.literal_columns)
    (tokens,) = fresh.encode(["wing wing heat"], QueryOptions(queries="tokens", idf_power=0))
    named = {fresh.tokens[c]: w for c, w in zip(tokens.key_columns.tolist(), tokens.key_weights.tolist(), strict=True)}
    assert named == {"wing": 2.0, "heat": 1.0}


def test_the_papers_queries_are_literal_and_key_tokens_of_weight_one(index):
    options = QueryOptions(m=4, literal_weight=1, idf_power=0, unit_weights=True)
    (vector,) = index.encode(["supersonic wing"], options)
    assert set(vector.key_weights.tolist()) == {1.0}
    assert {index.tokens.index("wing"), index.tokens.index("supersonic")} <= set(vector.key_columns.tolist())
    assert 4 <= len(vector.key_columns) <= 6


@pytest.mark.parametrize(
    "text, k, options, message",
    [
        ("  ", 10, QueryOptions(), "query number 1 is empty"),
        ("wing", 0, QueryOptions(), "at least one document"),
        ("wing", 1, QueryOptions(mode="dense", queries="tokens"), "compares embeddings"),
    ],
)
def test_what_cannot_be_searched_is_refused(index, text, k, options, message):
    with pytest.raises(ValueError, match=message):
        index.search(text, k, options=options)


def test_modes_that_an_index_was_not_built_for_say_so(tmp_path):
    url = small_index.copy(tmp_path)
    with pytest.raises(ValueError, match=r"holds no index\. Run build_index"):
        Index.open(url)
    small_index.build_index(url, dataclasses.replace(small_index.OPTIONS, literal="summed"))
    index = Index.open(url, model=small_index.model())
    with pytest.raises(ValueError, match="Search it with --mode=fused"):
        index.search("wing")
    (hits,) = index.search("wing", options=QueryOptions(mode="fused"))
    assert hits
    with pytest.raises(ValueError, match="no table of token vectors"):
        index.search("wing", options=QueryOptions(mode="fused", queries="table"))
    small_index.build_index(url, dataclasses.replace(small_index.OPTIONS, literal="none"), overwrite=True)
    with pytest.raises(ValueError, match="--literal=none"):
        Index.open(url, model=small_index.model()).search("wing", options=QueryOptions(mode="bm25"))


def program(url: str, **flags):
    with flagsaver.flagsaver(store=url, model_path=str(small_run.model_dir()), **flags):
        search_corpus.main([])


def test_the_program_shows_why_and_writes_json_and_a_run(url, tmp_path, capsys):
    queries = tmp_path / "queries.jsonl"
    queries.write_text("".join(json.dumps({"_id": f"q{i}", "text": text}) + "\n" for i, text in enumerate(TEXTS)))
    output, run = tmp_path / "hits.json", tmp_path / "hits.trec"
    program(url, queries_file=str(queries), mode="fused", num_hits=3, output=str(output), run_output=str(run))
    out = capsys.readouterr().out
    assert "q0: heat transfer in a boundary layer" in out and "queries/s" in out and '"heat" ' in out
    found = json.loads(output.read_text())
    assert [len(hits) for hits in found["hits"].values()] == [3, 3, 3]
    assert found["timing"]["search_msec"]["p99"] > 0
    again = trec.read_run(run)
    assert again["q1"] == [(hit["doc_id"], hit["score"]) for hit in found["hits"]["q1"]]


def test_the_program_answers_queries_from_a_pipe(url, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("wing flow\n\nheat\n"))
    program(url, num_hits=1)
    out = capsys.readouterr().out
    assert "1: wing flow" in out and "2: heat" in out


def test_what_was_typed_is_kept(url, tmp_path, capsys, monkeypatch):
    output, run = tmp_path / "hits.json", tmp_path / "hits.trec"
    monkeypatch.setattr("sys.stdin", io.StringIO("wing flow\nheat\n"))
    program(url, num_hits=2, output=str(output), run_output=str(run))
    found = json.loads(output.read_text())
    assert list(found["hits"]) == ["1", "2"] and found["timing"]["search_msec"]["p99"] > 0
    assert trec.read_run(run)["2"] == [(hit["doc_id"], hit["score"]) for hit in found["hits"]["2"]]


class Interrupted(io.StringIO):
    """A terminal whose user presses Ctrl-C after the first query."""

    def readline(self, *size):
        line = super().readline(*size)
        if not line:
            raise KeyboardInterrupt
        return line


def test_what_was_typed_before_an_interrupt_is_kept(url, tmp_path, monkeypatch):
    output = tmp_path / "hits.json"
    monkeypatch.setattr("sys.stdin", Interrupted("wing flow\n"))
    with pytest.raises(KeyboardInterrupt):
        program(url, num_hits=2, output=str(output))
    assert list(json.loads(output.read_text())["hits"]) == ["1"]


def test_nothing_typed_is_nothing_to_keep(url, tmp_path, monkeypatch):
    output = tmp_path / "hits.json"
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(ValueError, match=r"no query was given.*--output and --run_output were not written"):
        program(url, output=str(output))
    assert not output.exists()


def test_a_run_has_each_id_once_and_the_hits_every_document(url, index, tmp_path):
    """Four rows have the id d3; one of them is asked for by its own words."""
    text = json.loads(small_run.documents(90)[57])["text"]
    output, run = tmp_path / "hits.json", tmp_path / "hits.trec"
    program(url, query=[text], mode="dense", num_hits=82, output=str(output), run_output=str(run))
    hits = json.loads(output.read_text())["hits"]["1"]
    rows = [hit["row"] for hit in hits if hit["doc_id"] == "d3"]
    assert len(hits) == 82 and len(rows) > 1 and hits[0]["row"] == 57
    found = trec.read_run(run)["1"]
    assert found[0] == ("d3", hits[0]["score"])
    assert len(found) == 82 == len({name for name, _ in found}), "85 documents have 82 ids"


def test_ids_that_no_run_can_hold_are_refused_before_the_model_is_loaded(url, tmp_path, monkeypatch):
    corpus = tmp_path / "spaced.jsonl"
    corpus.write_text('{"_id": "a", "text": "wing"}\n{"_id": "a b", "text": "flow"}\n')
    spaced = small_run.launch(small_run.options(tmp_path, corpus=(str(corpus),))).files.url
    monkeypatch.setattr(encoder, "shared_encoder", lambda *a, **k: pytest.fail("the model was loaded"))
    queries, run = tmp_path / "q.jsonl", tmp_path / "hits.trec"
    queries.write_text('{"_id": "q 1", "text": "wing"}\n')
    with pytest.raises(ValueError, match=r"--run_output: query 'q 1': an id in a TREC run .*Leave --run_output out"):
        program(url, queries_file=str(queries), run_output=str(run))
    with pytest.raises(ValueError, match="--run_output: document 'a b'"):
        program(spaced, query=["wing"], run_output=str(run))


@pytest.mark.parametrize("flag", ["output", "run_output"])
def test_a_file_that_could_not_be_written_is_refused_before_any_query_is_asked_for(url, tmp_path, monkeypatch, flag):
    monkeypatch.setattr("sys.stdin", None)
    for path, message in ((tmp_path / "none" / "hits", "there is no directory"), (tmp_path, "is a directory")):
        with pytest.raises(ValueError, match=rf"--{flag}=.*{message}"):
            program(url, **{flag: str(path)})


def test_queries_may_be_gzip(url, tmp_path, capsys):
    path = tmp_path / "q.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"_id": "q7", "text": "wing flow"}\n'))
    program(url, queries_file=str(path), num_hits=1)
    assert "q7: wing flow" in capsys.readouterr().out
    path.write_bytes(b'{"_id": "q7", "text": "wing flow"}\n')
    with pytest.raises(ValueError, match=r"q.jsonl.gz cannot be read \(Not a gzipped file.*nothing was searched"):
        program(url, queries_file=str(path))
    with pytest.raises(ValueError, match=r"none.jsonl cannot be read \(.*No such file"):
        program(url, queries_file=str(tmp_path / "none.jsonl"))


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("q.jsonl", '{"_id": "1", "text": ["a"]}\n', "q.jsonl:1 is no query: its text is of type list, not a string"),
        ("q.jsonl", '{"_id": "1", "text": null}\n', "q.jsonl:1 is no query: its text is of type NoneType"),
        ("q.jsonl", '\n{"_id": null, "text": "a"}\n', "q.jsonl:2 is no query: its _id is of type NoneType"),
        ("q.ndjson", '"wing"\n', "q.ndjson:1 is no query"),
        ("q.jsonl", '{"_id": "1"}\n', "q.jsonl:1 is no query"),
        ("q.jsonl", '{"_id": 1, "text": "a"}\n{"_id": 1, "text": "b"}\n', "repeats the id '1'"),
        ("q.jsonl", '{"_id": "7", "text": " "}\n', "q.jsonl:1: the text of query '7' is empty.*Leave the line out"),
        ("q.txt", "\n", "holds no query"),
    ],
)
def test_bad_query_files_are_refused(url, tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        program(url, queries_file=str(tmp_path / name))


def test_modes_and_memory_are_known_names(url):
    with pytest.raises(ValueError, match="mode='hybrid' is not one of"):
        QueryOptions(mode="hybrid")
    with pytest.raises(ValueError, match="memory='disk' is not one of"):
        Index.open(url, memory="disk")
    assert cli.QUERIES_FILE.value is None
