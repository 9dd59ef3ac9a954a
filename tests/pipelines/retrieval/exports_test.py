"""Every export is read back by something that is not ours, or by the format's own definition, and holds the index."""

import dataclasses
import json
import math
import pathlib

import numpy as np
import pytest
from absl.testing import flagsaver
from safetensors.numpy import load_file
from scipy import sparse

from keytokens.pipelines import export_postings
from keytokens.pipelines.retrieval import Index, QueryOptions
from keytokens.pipelines.retrieval.exports import formats, source
from tests import small_index, small_run


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Index:
    url = small_index.copy(tmp_path_factory.mktemp("exported"), indexed=True)
    return Index.open(url, model=small_index.model())


@pytest.fixture(scope="module")
def distinct(tmp_path_factory) -> Index:
    """The same documents, each with an id of its own."""
    directory = tmp_path_factory.mktemp("distinct")
    lines = (line.replace(b'"d3"', b'"d3 %d"' % row) for row, line in enumerate(small_run.documents(90)))
    (directory / "corpus.jsonl").write_bytes(b"\n".join(lines))
    url = small_index.store(directory, corpus=(str(directory / "corpus.jsonl"),))
    small_index.build_index(url)
    return Index.open(url, model=small_index.model())


@pytest.fixture(scope="module")
def expected(index) -> dict[str, dict[str, float]]:
    return expectations(index)


def expectations(index: Index) -> dict[str, dict[str, float]]:
    """Document id -> piece -> weight, from the dense definition."""
    dense, ids = small_index.reference(index.store.files.url), list(index.store.doc_ids())
    alive = np.flatnonzero(~index.store.column("dead_letter"))
    found = [
        (ids[row], {index.tokens[t]: float(dense.key[row, t]) for t in np.flatnonzero(dense.key[row])}) for row in alive
    ]
    return dict(found)


def lines(path: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def assert_close(found: dict[str, float], wanted: dict[str, float], *, atol: float = 2e-5) -> None:
    """Equal up to rounding; tokens lighter than that may be missing."""
    for token in found.keys() | wanted.keys():
        assert found.get(token, 0.0) == pytest.approx(wanted.get(token, 0.0), abs=atol)


def last(records: list[dict], key: str = "id") -> dict[str, dict]:
    """By id; of an id that repeats, the last."""
    return {str(record[key]): record for record in records}


def write(index: Index, name: str, path: pathlib.Path, **changes) -> dict:
    chosen = formats.FORMATS[name]
    return chosen.write(source.Source(index, **{"terms": chosen.terms, **changes}), path)


def test_vectors_come_in_blocks_that_change_nothing(index, expected, monkeypatch):
    whole = list(source.Source(index).vectors())
    monkeypatch.setattr(source, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(source, "_READ_POSTINGS", 50)
    parts = list(source.Source(index).vectors())
    assert len(whole) == len(parts) == 85
    for a, b in zip(whole, parts, strict=True):
        assert (a.doc_id, a.row) == (b.doc_id, b.row)
        np.testing.assert_array_equal(a.columns, b.columns)
        np.testing.assert_array_equal(a.weights, b.weights)
        assert (np.diff(a.columns) > 0).all()
    for vector in whole:
        if vector.doc_id != "d3":  # an id that several rows have
            pieces = [index.tokens[c] for c in vector.columns.tolist()]
            assert_close(dict(zip(pieces, vector.weights.tolist(), strict=True)), expected[vector.doc_id])


@pytest.mark.parametrize("name", ["jsonvector", "seismic", "qdrant", "elasticsearch", "opensearch"])
def test_json_formats_hold_every_document(index, distinct, tmp_path, name):
    path = tmp_path / "out"
    index = index if name in ("seismic", "qdrant") else distinct  # which number documents
    expected = expectations(index)
    assert write(index, name, path)["documents"] == 85
    largest = source.Source(index).largest
    if name == "jsonvector":
        found = {key: record["vector"] for key, record in last(lines(path / "docs.jsonl")).items()}
        assert all(isinstance(w, int) and 1 <= w <= 255 for vector in found.values() for w in vector.values())
        found = {key: {t: w * largest / 255 for t, w in vector.items()} for key, vector in found.items()}
    elif name == "seismic":
        found = {key: record["vector"] for key, record in last(lines(path)).items()}
    elif name == "qdrant":
        records = lines(path)
        assert [record["id"] for record in records] == sorted({record["id"] for record in records})
        found = {}
        for record in records:
            vector = record["vector"]["key_tokens"]
            named = [index.tokens[column] for column in vector["indices"]]
            found[record["payload"]["doc_id"]] = dict(zip(named, vector["values"], strict=True))
    else:
        records = lines(path / "bulk.ndjson")
        actions, documents = records[::2], records[1::2]
        assert [action["index"]["_id"] for action in actions] == [document["id"] for document in documents]
        found = {
            document["id"]: {index.tokens[int(term)]: w for term, w in document["key_tokens"].items()}
            for document in documents
        }
        kind = json.loads((path / "mapping.json").read_text())["mappings"]["properties"]["key_tokens"]["type"]
        assert kind == {"elasticsearch": "sparse_vector", "opensearch": "rank_features"}[name]
        query = json.loads((path / "query.json").read_text())["query"]
        assert name == "opensearch" or query["sparse_vector"]["prune"] is False
    assert found.keys() == expected.keys()
    atol = largest / 255 if name == "jsonvector" else 2e-5
    for key, vector in found.items():
        if key != "d3":
            assert_close(vector, expected[key], atol=atol)


def _messages(data: bytes):
    """The length-delimited messages of a CIFF file as {field number: [values]}, by protobuf's wire format."""

    def varint(at):
        value = shift = 0
        while True:
            byte = data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at

    def fields(at, end):
        found: dict[int, list] = {}
        while at < end:
            tag, at = varint(at)
            kind = tag & 7
            if kind == 0:
                value, at = varint(at)
            elif kind == 1:
                value, at = data[at : at + 8], at + 8
            else:
                size, at = varint(at)
                value, at = (at, at + size), at + size
            found.setdefault(tag >> 3, []).append(value)
        return found

    at = 0
    while at < len(data):
        size, at = varint(at)
        yield fields(at, at + size), fields
        at += size


def test_ciff_by_the_wire_format(index, expected, tmp_path):
    write(index, "ciff", tmp_path / "out.ciff")
    data = (tmp_path / "out.ciff").read_bytes()
    messages = [fields for fields, _ in _messages(data)]
    parse = next(_messages(data))[1]
    header = messages[0]
    num_lists, num_docs = header[2][0], header[3][0]
    lists, records = messages[1 : 1 + num_lists], messages[1 + num_lists :]
    assert len(records) == num_docs == 85 and header[1] == [1]

    def text(span):
        return data[slice(*span)].decode()

    terms = [text(one[1][0]) for one in lists]
    assert terms == sorted(terms, key=str.encode)
    names = {record.get(1, [0])[0]: text(record[2][0]) for record in records}
    found: dict[int, dict[str, int]] = {number: {} for number in names}
    for term, one in zip(terms, lists, strict=True):
        number = 0
        for span in one[4]:
            posting = parse(*span)
            number += posting.get(1, [0])[0]
            found[number][term] = posting[2][0]
        assert one[2] == [len(one[4])]
    largest = source.Source(index).largest
    for number, vector in found.items():
        assert records[number][3][0] == sum(vector.values())
        if names[number] != "d3":
            scaled = {term: impact * largest / 255 for term, impact in vector.items()}
            assert_close(scaled, expected[names[number]], atol=largest / 255)
    assert header[6] == [sum(sum(vector.values()) for vector in found.values())]


@pytest.mark.parametrize("field", ["key", "literal", "both"])
def test_array_formats_and_fields(index, tmp_path, field):
    dense = small_index.reference(index.store.files.url)
    alive = np.flatnonzero(~index.store.column("dead_letter"))
    wanted = {"key": dense.key, "literal": dense.literal, "both": np.hstack([dense.key, dense.literal])}[field][alive]
    write(index, "scipy", tmp_path / "scipy", field=field)
    matrix = sparse.load_npz(tmp_path / "scipy" / "matrix.npz")
    np.testing.assert_allclose(matrix.toarray(), wanted, atol=3e-5)
    ids, terms = (json.loads((tmp_path / "scipy" / f"{name}.json").read_text()) for name in ("doc_ids", "terms"))
    assert ids == [list(index.store.doc_ids())[row] for row in alive] and len(terms) == matrix.shape[1] == len(
        set(terms)
    )

    write(index, "sentence-transformers", tmp_path / "st", field=field)
    tensors = load_file(tmp_path / "st" / "embeddings.safetensors")
    again = sparse.coo_matrix((tensors["values"], tensors["indices"]), shape=tuple(tensors["shape"]))
    assert (again != matrix).nnz == 0

    write(index, "bm25s", tmp_path / "bm25s", field=field)
    parts = [np.load(tmp_path / "bm25s" / f"{name}.csc.index.npy") for name in ("data", "indices", "indptr")]
    assert (sparse.csc_matrix(tuple(parts), shape=matrix.shape) != matrix).nnz == 0


def test_a_literal_field_that_is_not_there_is_refused(tmp_path):
    url = small_index.copy(tmp_path)
    small_index.build_index(url, dataclasses.replace(small_index.OPTIONS, literal="none"))
    with pytest.raises(ValueError, match="no literal field of its own"):
        source.Source(Index.open(url), field="both")


@pytest.mark.parametrize(
    ("name", "consequence"),
    [
        ("jsonvector", "would name one document several times, which no evaluation takes"),
        ("elasticsearch", "all but the last were lost"),
        ("opensearch", "all but the last were lost"),
    ],
)
def test_documents_that_a_format_could_not_tell_apart_are_refused(index, tmp_path, name, consequence):
    with pytest.raises(ValueError, match=rf"1 ids stand for several.*'d3': .*{consequence}\. Nothing was written"):
        write(index, name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_terms_that_a_format_cannot_have_are_refused(index, tmp_path):
    given = {"store": index.store.files.url, "format": "qdrant", "terms": "pieces", "output": str(tmp_path / "x")}
    with (
        flagsaver.flagsaver(**given),
        pytest.raises(ValueError, match=r"--terms=pieces: Qdrant knows terms by ids only.*Leave --terms out"),
    ):
        export_postings.main([])
    assert not (tmp_path / "x").exists()
    with flagsaver.flagsaver(**{**given, "terms": "ids"}):
        export_postings.main([])
    assert len(lines(tmp_path / "x")) == 85


def test_terms_that_a_format_would_lose_are_refused(distinct, tmp_path):
    with pytest.raises(ValueError, match=r"the vocabulary holds '\.'.*Pass --terms=ids"):
        write(distinct, "elasticsearch", tmp_path, terms="pieces")
    spaced = source.Source(distinct)
    spaced.__dict__["terms"] = ["a b", *distinct.tokens[1:]]
    with pytest.raises(ValueError, match=r"holds 'a b': Anserini splits"):
        formats.FORMATS["jsonvector"].write(spaced, tmp_path)


def export_with_queries(url, directory, chosen, *queries) -> list[dict]:
    """Runs the program for documents into docs.jsonl; returns the exported queries."""
    (directory / "q.txt").write_text("".join(f"{query}\n" for query in queries))
    with flagsaver.flagsaver(
        store=url,
        model_path=str(small_run.model_dir()),
        format=chosen,
        output=str(directory / "docs.jsonl"),
        queries_file=str(directory / "q.txt"),
        queries_output=str(directory / "queries.jsonl"),
    ):
        export_postings.main([])
    return lines(directory / "queries.jsonl")


def test_the_program_exports_documents_and_queries_of_one_vocabulary(index, tmp_path, capsys):
    texts = ["wing flow", "heat of the plate"]
    queries = export_with_queries(index.store.files.url, tmp_path, "seismic", *texts)
    shown = capsys.readouterr()
    assert "documents 85" in shown.out
    assert "warning: 1 ids stand for several documents each, the first is 'd3'" in shown.err
    documents = lines(tmp_path / "docs.jsonl")
    for text, query in zip(texts, queries, strict=True):
        scores = {
            d["id"]: sum(w * query["vector"].get(t, 0.0) for t, w in d["vector"].items())
            for d in documents
            if d["id"] != "d3"
        }
        (hits,) = index.search(text, 90)
        for hit in hits:
            if hit.doc_id != "d3":
                assert math.isclose(scores[hit.doc_id], hit.score, rel_tol=1e-4)
    with (
        flagsaver.flagsaver(
            store=index.store.files.url, format="ciff", output=str(tmp_path / "x"), queries_file=str(tmp_path / "q.txt")
        ),
        pytest.raises(ValueError, match="belong together"),
    ):
        export_postings.main([])


@pytest.mark.parametrize("literal", ["summed", "none"])
def test_queries_for_an_index_without_a_literal_field_rank_as_it_does(tmp_path, literal):
    url = small_index.copy(tmp_path)
    small_index.build_index(url, dataclasses.replace(small_index.OPTIONS, literal=literal))
    (query,) = export_with_queries(url, tmp_path, "qdrant", "wing flow")
    scores = {}
    for point in lines(tmp_path / "docs.jsonl"):
        vector = point["vector"]["key_tokens"]
        weights = (query["vector"].get(str(column), 0.0) for column in vector["indices"])
        scores[point["id"]] = sum(w * v for w, v in zip(weights, vector["values"], strict=True))
    index = Index.open(url, model=small_index.model())
    (hits,) = index.search("wing flow", 90, options=QueryOptions(mode="fused" if literal == "summed" else "sparse"))
    assert len(hits) > 20
    ratios = np.array([scores[hit.row] / hit.score for hit in hits])
    # The search divides by the spread of the scores over the documents, which a query does not know.
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-5)
    assert literal == "summed" or ratios[0] == pytest.approx(1, rel=1e-5)


def test_bad_queries_are_refused_before_anything_is_exported(index, tmp_path):
    (tmp_path / "q.jsonl").write_text('{"_id": "q", "text": 3}\n')
    with (
        flagsaver.flagsaver(
            store=index.store.files.url,
            format="seismic",
            output=str(tmp_path / "docs.jsonl"),
            queries_file=str(tmp_path / "q.jsonl"),
            queries_output=str(tmp_path / "queries.jsonl"),
        ),
        pytest.raises(ValueError, match=r"q.jsonl:1 is no query: its text is of type int"),
    ):
        export_postings.main([])
    assert not (tmp_path / "docs.jsonl").exists()


def test_queries_that_could_not_be_encoded_or_kept_leave_no_export(index, tmp_path, monkeypatch):
    (tmp_path / "q.txt").write_text("wing\n")
    given = {"store": index.store.files.url, "format": "seismic", "queries_file": str(tmp_path / "q.txt")}
    given |= {"output": str(tmp_path / "docs.jsonl"), "model_path": str(small_run.model_dir())}
    with (
        flagsaver.flagsaver(**given, queries_output=str(tmp_path / "none" / "queries.jsonl")),
        pytest.raises(ValueError, match=r"--queries_output=.*there is no directory"),
    ):
        export_postings.main([])

    def fails(*unused):
        raise ValueError("out of memory")

    monkeypatch.setattr(Index, "encode", fails)
    with (
        flagsaver.flagsaver(**given, queries_output=str(tmp_path / "queries.jsonl")),
        pytest.raises(ValueError, match="out of memory"),
    ):
        export_postings.main([])
    assert not (tmp_path / "docs.jsonl").exists()
