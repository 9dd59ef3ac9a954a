"""The main job on a real collection with a real embedder: Cranfield, where a copy of it lies beside the project.

`make test-evaluation` runs it; KEYTOKENS_DATA names a directory with ir/cranfield in BEIR's layout.
"""

import csv
import json
import os
import pathlib

import anndata
import apache_beam as beam
import ir_measures
import numpy as np
import pytest
import tensorstore as ts
import zarr
from apache_beam.options.pipeline_options import PipelineOptions

from keytokens import kernels, models
from keytokens.pipelines import align_run, encoder, transforms
from keytokens.pipelines.analysis import moments
from keytokens.pipelines.store import reader

_DEFAULT = pathlib.Path(__file__).parents[2].parent / "shared" / "data"
CRANFIELD = pathlib.Path(os.environ.get("KEYTOKENS_DATA", _DEFAULT)) / "ir" / "cranfield"
pytestmark = [
    pytest.mark.evaluation,
    pytest.mark.skipif(not CRANFIELD.exists(), reason=f"no Cranfield collection at {CRANFIELD}"),
]
K = 100


@pytest.fixture(scope="module")
def records() -> list[dict]:
    return [json.loads(line) for line in (CRANFIELD / "corpus.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> reader.StoreReader:
    """Cranfield through the pipeline, in six units."""
    output = str(tmp_path_factory.mktemp("cranfield") / "out.zarr")
    options = align_run.AlignOptions(
        model=models.read_embedder("all-minilm-l6-v2"),
        backbone=None,
        corpus=(str(CRANFIELD / "corpus.jsonl"),),
        output=output,
        k=K,
        save_embeddings=True,
        unit_rows=256,
    )
    run, planned = align_run.prepare(options)
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        transforms.define_pipeline(pipeline, run, planned.units)
    return reader.StoreReader(output)


@pytest.fixture(scope="module")
def embeddings(store) -> np.ndarray:
    return anndata.io.read_elem(zarr.open_group(store.files.url, mode="r")["obsm"])["embeddings"]


def test_two_empty_documents_are_dead_letters_and_nothing_else(store, records):
    assert store.dims.num_units == 6, "there must be several units"
    assert store.manifest["counts"]["rows"] == 1400
    assert [(x["doc_id"], x["kind"]) for x in store.dead_letters()] == [("471", "empty"), ("995", "empty")]
    assert list(store.doc_ids()) == [record["_id"] for record in records]


def test_the_store_equals_the_reference_kernel_on_the_same_embeddings_row_for_row(store, embeddings):
    head = encoder.shared_encoder(models.read_embedder("all-minilm-l6-v2")).embedder.head.weight
    top = kernels.aligned_topk(embeddings, head, K, implementation="reference")
    alive = np.flatnonzero(~store.column("dead_letter"))
    indices, values = store.ranked_postings(0, 1400)
    # Both round differently: where two neighbours differ by less than that, their order may.
    np.testing.assert_allclose(values[alive], np.asarray(top.values)[alive], atol=2e-5)
    moved = indices[alive] != np.asarray(top.indices)[alive]
    assert moved.mean() < 1e-3
    gaps = np.abs(np.diff(np.asarray(top.values)[alive], axis=1, append=-np.inf))
    before = np.concatenate([np.full((len(alive), 1), np.inf), gaps[:, :-1]], axis=1)
    assert (np.minimum(gaps, before)[moved] < 2e-5).all()

    matrix = anndata.io.read_elem(zarr.open_group(store.files.url, mode="r")["X"])
    assert matrix.shape == (1400, 30522) and matrix.has_canonical_format
    for name in ("data", "indices", "indptr"):
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store.files.url}/X/{name}/"}}
        np.testing.assert_array_equal(ts.open(spec).result().read().result(), getattr(matrix, name))


def test_merged_moments_equal_a_float64_reference(store, embeddings):
    expected = moments.Moments.of(embeddings[~store.column("dead_letter")])
    merged = store.merged_moments().f
    for value, wanted in (
        (merged.second_moment, expected.second_moment),
        (merged.covariance, expected.covariance),
        (merged.sum, expected.sum),
    ):
        assert np.linalg.norm(value - wanted) < 1e-6 * np.linalg.norm(wanted)


def test_dense_retrieval_with_these_embeddings_has_the_known_ndcg(embeddings, records):
    """nDCG@10 of cosine retrieval with all-MiniLM-L6-v2 on Cranfield is 0.506 (linear gain, 225 queries)."""
    queries = [json.loads(line) for line in (CRANFIELD / "queries.jsonl").read_text("utf-8").splitlines()]
    loaded = encoder.shared_encoder(models.read_embedder("all-minilm-l6-v2"))
    q = loaded.embed([query["text"] for query in queries]).hidden
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosine = (q / np.linalg.norm(q, axis=1, keepdims=True)) @ (embeddings / np.where(norms > 0, norms, 1)).T
    run = [
        ir_measures.ScoredDoc(query["_id"], records[row]["_id"], float(cosine[i, row]))
        for i, query in enumerate(queries)
        for row in np.argsort(-cosine[i])[:100]
    ]
    with (CRANFIELD / "qrels" / "test.tsv").open(newline="") as file:
        qrels = [
            ir_measures.Qrel(row["query-id"], row["corpus-id"], int(row["score"]))
            for row in csv.DictReader(file, delimiter="\t")
        ]
    ndcg = ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, run)[ir_measures.nDCG @ 10]
    assert ndcg == pytest.approx(0.506, abs=0.003)
