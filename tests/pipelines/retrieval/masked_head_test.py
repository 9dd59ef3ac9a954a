"""Models whose LM head transforms embeddings first: queries are decoded as documents are, and there are no tables."""

import dataclasses
import json

import numpy as np
import pytest
from absl.testing import flagsaver

from keytokens import models
from keytokens.pipelines import evaluate_retrieval
from keytokens.pipelines.retrieval import Index, IndexOptions, QueryOptions, beir, bench, evaluation, trec
from keytokens.pipelines.store import files as store_files
from tests import small_collection, small_index, small_run
from tests.tiny_checkpoint import write_masked_language_model

K = 16


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("masked")


@pytest.fixture(scope="module")
def config(directory) -> models.EmbedderConfig:
    return models.read_embedder(str(write_masked_language_model(directory / "mlm")))


@pytest.fixture(scope="module")
def collection(directory) -> beir.Collection:
    return beir.read_collection(small_collection.halves(directory / "halves"))


@pytest.fixture(scope="module")
def results(directory, config, collection) -> dict:
    """What the program writes of the collection."""
    given = {"model": config.directory, "beir_dir": [str(directory / "halves")], "output_dir": str(directory / "out")}
    with flagsaver.flagsaver(**given, k=K):
        evaluate_retrieval.main([])
    return json.loads((directory / "out" / "results.json").read_text())["found"]["halves"]


@pytest.fixture(scope="module")
def index(directory, config, results) -> Index:
    return Index.open(str(directory / "out" / "halves" / "store.zarr"), model=config)


def test_a_text_has_the_same_key_tokens_as_document_and_as_query(index):
    vocab_size = index.store.dims.vocab_size
    columns = [index.postings.gather(np.array([column])) for column in range(vocab_size)]
    key = np.zeros((index.store.dims.num_rows, vocab_size))
    for column, found in enumerate(columns):
        key[found.rows, column] = found.impacts
    vectors = index.encode(small_collection.texts(), QueryOptions(m=K, idf_power=0))
    for row, vector in enumerate(vectors):
        assert set(vector.key_columns.tolist()) == set(np.flatnonzero(key[row]).tolist())
        ratio = vector.key_weights / key[row, vector.key_columns]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)  # the document's weights are divided by one length


def test_the_model_is_evaluated_without_the_systems_that_it_cannot_have(results, directory):
    tables = {name for name, options in evaluation.SYSTEMS.items() if options.queries == "table"}
    assert len(tables) == 2 and set(results["skipped"]) == tables
    assert all("transforms embeddings before its LM head" in reason for reason in results["skipped"].values())
    assert set(results["systems"]) == set(evaluation.SYSTEMS) - tables
    assert trec.read_run(directory / "out" / "halves" / "sparse.trec")


def test_options_are_compared_in_memory_with_the_same_queries(index, collection, config):
    options = QueryOptions(m=10)
    expected = evaluation.evaluate(index, collection, options).measures["nDCG@10"]
    found = bench.Bench(config, collection, index.store).measure(IndexOptions(k=K), options)
    assert found["nDCG@10"] == pytest.approx(expected)


def test_a_table_is_refused_before_an_index_is_replaced(index, config):
    url = index.store.files.url
    before = small_run.contents(url)
    other = dataclasses.replace(index.options, k=3)
    with pytest.raises(ValueError, match=r"--query_table: .*mlm transforms embeddings before its LM head"):
        small_index.build_index(url, other, model=config, with_query_table=True, overwrite=True)
    with pytest.raises(ValueError, match="Leave centred and without_first out"):
        small_index.build_index(url, dataclasses.replace(other, centred=True), model=config, overwrite=True)
    assert small_run.contents(url) == before
    assert store_files.StoreFiles(url).read("X_T/zarr.json")


def test_a_sweep_leaves_out_what_the_model_cannot_be_indexed_with(directory, config, results, capsys):
    given = {"model": config.directory, "beir_dir": [str(directory / "halves")], "output_dir": str(directory / "out")}
    with flagsaver.flagsaver(**given, k=K, vary_options=True):
        evaluate_retrieval.main([])
    swept = json.loads((directory / "out" / "sweep.json").read_text())["found"]
    left_out = {"centred=True", "without_first=True", "the same, plain, centred", "the same, plain, without V_1"}
    assert set(swept["skipped"]) == left_out
    assert not left_out & {row["varied"] for row in swept["rows"]}
    assert "left out: centred=True (" in capsys.readouterr().out
