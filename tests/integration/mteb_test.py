"""MTEB drives our sparse and dense search on a task of its own kind, offline. `make test-exports` installs MTEB."""

import json

import numpy as np
import pytest

from keytokens import models
from keytokens.pipelines import cli, encoder
from keytokens.pipelines.retrieval import Index, IndexOptions, QueryOptions, build, evaluation, mteb_adapters
from tests import small_run, tiny_checkpoint

mteb = pytest.importorskip("mteb")
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]
OPTIONS = IndexOptions(k=16)


@pytest.fixture(scope="module")
def documents() -> dict[str, str]:
    rng = np.random.default_rng(0)
    return {f"d{i}": " ".join(rng.choice(tiny_checkpoint.WORDS, 12)) for i in range(30)}


@pytest.fixture(scope="module")
def task(documents):
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.abstasks.task_metadata import TaskMetadata

    class Toy(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="KeytokensToyRetrieval",
            description="Half of a document's words ask for it.",
            reference=None,
            dataset={"path": "none", "revision": "none"},
            type="Retrieval",
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

        def load_data(self, num_proc=None, **unused):
            queries = [{"id": f"q{i}", "text": " ".join(documents[f"d{i}"].split()[:6])} for i in range(5)]
            corpus = [{"id": name, "title": "", "text": text} for name, text in documents.items()]
            self.dataset = {
                "default": {
                    "test": RetrievalSplitData(
                        corpus=Dataset.from_list(corpus),
                        queries=Dataset.from_list(queries),
                        relevant_docs={f"q{i}": {f"d{i}": 1} for i in range(5)},
                        top_ranked=None,
                    )
                }
            }
            self.data_loaded = True

    return Toy()


@pytest.fixture(scope="module")
def config() -> models.EmbedderConfig:
    return models.read_embedder(str(small_run.model_dir()))


def score(model, task, tmp_path) -> float:
    found = mteb.evaluate(model, task, cache=None, overwrite_strategy="always", encode_kwargs={"batch_size": 8})
    return found.task_results[0].scores["test"][0]["ndcg_at_10"]


@pytest.mark.parametrize("mode", ["sparse", "bm25", "fused", "dense"])
def test_mteb_scores_a_search_as_we_do(task, config, tmp_path, documents, mode):
    options = QueryOptions(mode=mode)
    found = score(
        mteb_adapters.SparseSearch(config, tmp_path, index_options=OPTIONS, query_options=options), task, tmp_path
    )
    (store,) = tmp_path.glob("*/store.zarr")
    build.build(str(store), OPTIONS, cli.beam_options([]), model=config)
    index = Index.open(str(store), model=config)
    queries = {f"q{i}": " ".join(documents[f"d{i}"].split()[:6]) for i in range(5)}
    hits = index.search(list(queries.values()), 100, options=options)
    run = {name: [(hit.doc_id, hit.score) for hit in each] for name, each in zip(queries, hits, strict=True)}
    ours, _ = evaluation.measure({f"q{i}": {f"d{i}": 1} for i in range(5)}, run)
    assert found == pytest.approx(ours["nDCG@10"], abs=1e-4)
    assert mode != "bm25" or found > 0.9


def test_mteb_scores_the_dense_encoder_as_dense_search(task, config, tmp_path):
    encoder_score = score(mteb_adapters.DenseEncoder(config), task, tmp_path)
    search = mteb_adapters.SparseSearch(
        config, tmp_path, index_options=OPTIONS, query_options=QueryOptions(mode="dense")
    )
    assert encoder_score == pytest.approx(score(search, task, tmp_path), abs=1e-4)


def test_the_protocols_are_mtebs(config, tmp_path):
    from mteb.models.models_protocols import EncoderProtocol, SearchProtocol

    dense, sparse = mteb_adapters.DenseEncoder(config), mteb_adapters.SparseSearch(config, tmp_path)
    assert isinstance(sparse, SearchProtocol) and isinstance(dense, EncoderProtocol)
    batches = [{"text": ["wing flow", "heat"]}, {"text": ["cone"]}]
    encoded = dense.encode(batches, task_metadata=None, hf_split="test", hf_subset="default")
    expected = encoder.shared_encoder(config).embed(["wing flow", "heat", "cone"]).hidden
    np.testing.assert_allclose(encoded, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(dense.similarity(encoded, encoded), encoded @ encoded.T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dense.similarity_pairwise(encoded, encoded), np.ones(3), rtol=1e-5)


def test_only_the_documents_of_a_reranking_task(config, tmp_path, task):
    task.load_data()
    data = task.dataset["default"]["test"]
    search = mteb_adapters.SparseSearch(config, tmp_path, index_options=OPTIONS)
    given = {"task_metadata": task.metadata, "hf_split": "test", "hf_subset": "default", "encode_kwargs": {}}
    with pytest.raises(ValueError, match="before index"):
        search.search(data["queries"], top_k=3, num_proc=None, **given)
    search.index(data["corpus"], num_proc=None, **given)
    top_ranked = {f"q{i}": ["d3", "d7"] for i in range(5)}
    found = search.search(data["queries"], top_k=3, top_ranked=top_ranked, num_proc=None, **given)
    assert set(found) == set(top_ranked) and all(set(hits) <= {"d3", "d7"} for hits in found.values())
    assert json.dumps(found)
