"""adjust_component: the curves are those of the adjusted stores, and the adjusted store is one like any other."""

import csv
import json
import pathlib

import numpy as np
import pytest
from absl.testing import flagsaver

from keytokens import models
from keytokens.pipelines import (
    adjust_component,
    adjusting,
    compare_spectra,
    encoder,
    inspect_store,
    store_alignment,
    store_model,
)
from keytokens.pipelines.analysis import adjustment
from keytokens.pipelines.analysis.moments import Moments
from keytokens.pipelines.store import reader
from tests import small_run, tiny_checkpoint


@pytest.fixture(scope="module")
def store() -> reader.StoreReader:
    """An embedder and a backbone of other weights over 90 rows in 6 units, five of them dead letters."""
    return small_run.pair_store()


@pytest.fixture(scope="module")
def backbone() -> str:
    return str(small_run.backbone_dir())


@pytest.fixture(scope="module")
def done(store, backbone, tmp_path_factory) -> pathlib.Path:
    """What the program writes."""
    directory = tmp_path_factory.mktemp("adjusted")
    with flagsaver.flagsaver(
        store=store.files.url,
        backbone_path=backbone,
        output=str(directory / "out.zarr"),
        output_dir=str(directory / "curves"),
        leading=["1", "3"],
        sweep=["0", "1", "2"],
        text=["the wing", "heat transfer"],
        k=5,
    ):
        adjust_component.main([])
    return directory


def test_the_written_store_is_the_backbone_at_v_1(store, done, backbone):
    directions = adjusting.directions_of(store)
    shift = directions.variation[0] * directions.components[0]
    alive = ~store.column("dead_letter")
    expected = store.embeddings(0, 90, backbone=True)[alive] + shift.astype(np.float32)
    adjusted = reader.StoreReader(str(done / "out.zarr"))
    np.testing.assert_allclose(adjusted.embeddings(0, 90)[alive], expected, atol=1e-6)
    loaded = encoder.shared_encoder(store_model.config_of(store, name=backbone, backbone=True))
    aligned = loaded.align(expected, 40)
    indices, values = adjusted.ranked_postings(0, 90)
    np.testing.assert_allclose(values[alive], aligned.values, atol=1e-4)
    assert (indices[alive] == aligned.indices).mean() > 0.995, "apart from near ties"
    np.testing.assert_allclose(adjusted.column("logsumexp")[alive], aligned.logsumexp, rtol=1e-5)
    np.testing.assert_allclose(adjusted.column("norm")[alive], np.linalg.norm(expected, axis=1), rtol=1e-5)
    moments = adjusted.merged_moments()
    wanted = Moments.of(expected)
    np.testing.assert_allclose(moments.f.second_moment, wanted.second_moment, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(moments.f.unit_sum, wanted.unit_sum, rtol=1e-5)
    assert moments.g is None


def test_the_written_store_serves_every_other_program(store, done, tmp_path):
    url = str(done / "out.zarr")
    found = inspect_store.inspect(url, verify=True)
    assert found["complete"] and found["damage"] == []
    assert found["dead_letters"] == inspect_store.inspect(store.files.url, verify=False)["dead_letters"]
    adjusted = reader.StoreReader(url)
    assert list(adjusted.doc_ids()) == list(store.doc_ids())
    assert adjusted.manifest["counts"] == store.manifest["counts"]
    assert adjusted.manifest["identity"]["adjustment"]["leading"] == 1
    with flagsaver.flagsaver(store=url, output_dir=str(tmp_path)):
        compare_spectra.main([])
    assert (tmp_path / "spectra.json").exists()


def test_the_curve_at_v_1_is_the_alignment_of_the_written_store(done):
    with (done / "curves" / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["leading"], row["factor"]) for row in rows] == [
        ("1", "0.0"), ("1", "1.0"), ("1", "2.0"), ("3", "1.0"), ("3", "2.0"),
    ]  # fmt: skip
    measured = store_alignment.measure_store(reader.StoreReader(str(done / "out.zarr")), hit_at=5)
    for column, against, metric in (("hit", "own", "hit"), ("lar", "own", "lar"), ("content_hit", "content", "hit")):
        expected = getattr(measured.metrics[against], metric).estimate
        assert float(rows[1][column]) == pytest.approx(expected, abs=0.02), "near ties may fall either way"
    assert rows[0]["hit"] != rows[2]["hit"] or rows[0]["lar"] != rows[2]["lar"], "the sweep moves something"
    found = json.loads((done / "curves" / "adjustment.json").read_text("utf-8"))
    assert [len(text["shifts"]) for text in found["texts"]] == [3, 3]
    assert len(found["texts"][0]["shifts"][0]["tokens"]) == 5
    for metric in ("hit", "lar", "gar", "content_hit", "stop_share", "overlap"):
        assert (done / "curves" / f"{metric}.png").read_bytes().startswith(b"\x89PNG")


def test_running_again_resumes_the_same_adjustment_and_refuses_another(store, done, backbone):
    options = {"store": store.files.url, "backbone_path": backbone, "output": str(done / "out.zarr"), "sweep": ["1"]}
    before = small_run.contents(str(done / "out.zarr"))
    with flagsaver.flagsaver(**options, leading=["1"]):
        adjust_component.main([])
    after = small_run.contents(str(done / "out.zarr"))
    assert [key for key in before if not key.startswith("spectra") and before[key] != after[key]] == []
    with (
        flagsaver.flagsaver(**options, shift="3.5"),
        pytest.raises(ValueError, match=r"adjustment.coefficients: stored"),
    ):
        adjust_component.main([])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shift": "much"}, "--shift=much is neither a number nor auto"),
        ({"shift": "2", "num_components": 3}, "--shift=2 is one number, and --num_components=3"),
        ({"sweep": ["1", "x"]}, "--sweep=1,x must be numbers"),
        ({"sweep": []}, "--sweep= must be finite numbers, one at least"),
        ({"shift": "1e30"}, "shifts of up to 1e\\+30 must be finite and their squares fit float32"),
        ({"leading": ["99"]}, r"the leading components to move, \[99\], must lie between 1 and the 16"),
        ({"backbone_path": str(small_run.model_dir())}, "is not the model that .* was written with: weights_sha256"),
        ({"backbone_path": None}, "say where it lies with --backbone_path=DIRECTORY"),
    ],
)
def test_mistakes_are_refused(store, backbone, tmp_path, changes, message):
    output = tmp_path / "out.zarr"
    options = {"store": store.files.url, "backbone_path": backbone, "output": str(output), **changes}
    with flagsaver.flagsaver(**options), pytest.raises(ValueError, match=message):
        adjust_component.main([])
    assert not output.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shift": "nan"}, "--shift=nan must be a finite number, or auto"),
        ({"shift": "-inf"}, "--shift=-inf must be a finite number, or auto"),
        ({"sweep": ["0", "nan"]}, "--sweep=0,nan must be finite numbers"),
        ({"sweep": ["inf"]}, "--sweep=inf must be finite numbers"),
        ({"leading": ["nan"]}, "--leading=nan must be numbers"),
    ],
)
def test_shifts_that_are_no_numbers_are_refused_before_the_store_is_opened(changes, message):
    with flagsaver.flagsaver(store="/nowhere", **changes), pytest.raises(ValueError, match=message):
        adjust_component.main([])


def test_a_store_without_backbone_embeddings_says_what_to_run(tmp_path):
    plain = small_run.launch(small_run.options(tmp_path, num_rows=20))
    with (
        flagsaver.flagsaver(store=plain.files.url),
        pytest.raises(ValueError, match="no embeddings of the backbone"),
    ):
        adjust_component.main([])


def test_a_masked_language_models_transform_is_applied_at_every_shift(tmp_path):
    """Its head is not linear in h: one matrix product for all shifts would be wrong."""
    loaded = encoder.Encoder(models.read_embedder(str(tiny_checkpoint.write_masked_language_model(tmp_path / "mlm"))))
    assert "transform" in loaded.embedder.params
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(6, loaded.embedder.config.hidden_size)).astype(np.float32)
    direction = np.eye(hidden.shape[1])[:1]
    swept = adjusting.decode(loaded, hidden, direction, np.array([[0.0], [4.0]]), 9)
    for point, shift in enumerate((0.0, 4.0)):
        moved = adjustment.adjust(hidden, direction, np.array([shift])).astype(np.float32)
        expected = loaded.align(moved, 9)
        np.testing.assert_array_equal(swept.indices[:, point], expected.indices)
        np.testing.assert_array_equal(swept.values[:, point], expected.values)
