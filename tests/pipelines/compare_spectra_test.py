"""compare_spectra on real small stores: the plain SVD's numbers, several embedders, splits, a trajectory."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from absl.testing import flagsaver

from keytokens import models
from keytokens.pipelines import compare_spectra, encoder, spectral, store_model
from keytokens.pipelines.store import reader
from tests import small_run


@pytest.fixture(scope="module")
def stores() -> list[reader.StoreReader]:
    """Two embedders of one backbone, the second the backbone itself, which moved nowhere; six units each."""
    return [small_run.pair_store(), small_run.pair_store("backbone")]


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> reader.StoreReader:
    """A store of 8 texts at D = 16: its moments are summed in float32, whose rounding fills all 16 eigenvalues."""
    model = models.read_embedder(str(small_run.model_dir()))
    backbone = models.read_embedder(str(small_run.backbone_dir()), recipe=model.recipe)
    directory = tmp_path_factory.mktemp("few")
    return small_run.launch(
        small_run.options(directory, num_rows=8, model=model, backbone=backbone, save_embeddings=True)
    )


@pytest.fixture(scope="module")
def loaded(stores) -> dict[str, encoder.Encoder]:
    return {
        "embedder": encoder.shared_encoder(store_model.config_of(stores[0], name=str(small_run.model_dir()))),
        "backbone": encoder.shared_encoder(
            store_model.config_of(stores[0], name=str(small_run.backbone_dir()), backbone=True)
        ),
    }


def test_equals_a_plain_svd_of_the_stored_embeddings_to_1e_5(stores):
    found = spectral.spectra_of(stores[0])
    differences = spectral.svd_difference(stores[0], found)
    assert set(differences) == {"embedder", "backbone"} and max(differences.values()) < 1e-5
    alive = ~stores[0].column("dead_letter")
    h = stores[0].embeddings(0, 90, backbone=True)[alive].astype(np.float64)
    _, values, vectors = np.linalg.svd(h, full_matrices=False)
    np.testing.assert_allclose(found.backbone.singular_values, values, rtol=1e-5, atol=1e-5 * values[0])
    first = vectors[0] * np.sign((h @ vectors[0]).mean())
    f = stores[0].embeddings(0, 90)[alive].astype(np.float64)
    assert found.comparison.variation[0] == pytest.approx((f - h).mean(0) @ first, rel=1e-5)


def test_a_store_of_fewer_texts_than_dimensions_has_as_many_directions_as_texts(few):
    found = spectral.spectra_of(few, num_groups=0)
    assert found.embedder.rank == found.backbone.rank == 8
    f, g = (few.embeddings(0, 8, backbone=is_backbone).astype(np.float64) for is_backbone in (False, True))
    of_f, of_g = (np.linalg.svd(h, full_matrices=False) for h in (f, g))
    for one, values in ((found.embedder, of_f[1]), (found.backbone, of_g[1])):
        shares = values / values.sum()
        # Float32's rounding of the second moment is 1e-7 of its largest eigenvalue: 3e-4 of a singular value.
        assert one.effective_rank == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-3)
    assert len(found.comparison.principal_angles_rad) == 8
    moved = np.abs((f - g).mean(0) @ of_g[2].T)
    assert found.comparison.dominance == pytest.approx(moved[0] / moved[1:].max(), rel=1e-3)


def test_the_check_sees_directions_that_no_text_has(few):
    found = spectral.spectra_of(few, num_groups=0)
    assert max(spectral.svd_difference(few, found).values()) < 1e-5
    values = found.embedder.singular_values
    more = dataclasses.replace(found.embedder, singular_values=np.where(values > 0, values, 1e-3 * values[0]))
    difference = spectral.svd_difference(few, dataclasses.replace(found, embedder=more))
    assert difference["embedder"] == pytest.approx(1e-3)


def test_errors_come_from_units_and_shrink_a_variation_to_what_is_sure(stores):
    found = spectral.spectra_of(stores[0])
    assert found.errors.num_groups == 6 and found.errors.variation.shape == (16,)
    alive = ~stores[0].column("dead_letter")
    moved = (stores[0].embeddings(0, 90) - stores[0].embeddings(0, 90, backbone=True))[alive]
    along = moved @ found.backbone.components[0]
    textbook = along.std(ddof=1) / np.sqrt(alive.sum())
    assert 0.3 * textbook < found.errors.variation[0] < 4 * textbook
    assert spectral.spectra_of(stores[0], num_groups=0).errors is None


def test_contributions_are_those_of_the_stored_embeddings(stores, loaded):
    found = spectral.spectra_of(stores[0])
    split = spectral.contributions(stores[0], loaded, found)
    alive = ~stores[0].column("dead_letter")
    for model, is_backbone in (("embedder", False), ("backbone", True)):
        h = stores[0].embeddings(0, 90, backbone=is_backbone)[alive]
        head = np.asarray(loaded[model].embedder.head.weight)
        k = 10
        best = np.sort(h @ head.T, axis=1)[:, -k:]
        assert split[model].total == pytest.approx(best.mean(), rel=1e-4)
        assert split[model].by_component.sum() + split[model].rest == pytest.approx(split[model].total, rel=1e-6)


def test_the_program_compares_several_embedders_of_one_backbone(stores, tmp_path, capsys):
    points = [{"step": s, "variation": [-s / 10, 0.1], "content_hit_at_10": s / 99} for s in (0, 10, 20)]
    (tmp_path / "trajectory.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
    urls = ",".join(store.files.url for store in stores)
    with flagsaver.flagsaver(
        store=urls, output_dir=str(tmp_path / "out"), num_angles=4, check_svd=True, trajectory=str(tmp_path)
    ):
        compare_spectra.main([])
    out = capsys.readouterr().out
    assert out.count("variation: v_1 = ") == 2 and out.count("against a plain SVD") == 2
    assert out.count("± is a standard error, from leaving out one of 6 groups of texts") == 2 and "± nan" not in out
    found = json.loads((tmp_path / "out" / "spectra.json").read_text())["embedders"]
    assert len(found) == 2 and max(found[1]["comparison"]["variation"]) < 1e-6 and found[0]["comparison"]["variation"]
    assert found[1]["comparison"]["linear_cka"] == pytest.approx(1.0)
    assert "components" not in found[0]["embedder"]
    with (tmp_path / "out" / "spectra.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 32
    assert float(rows[0]["variation"]) == pytest.approx(found[0]["comparison"]["variation"][0])
    assert float(rows[0]["variation_error"]) > 0
    for name in ("singular_values", "explained_variance", "variation", "principal_angles", "trajectory_variation"):
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("dominance", "margin", "verdict"),
    [
        (3.0, 1.0, "it dominates"),
        (3.0, 2.5, "it is not sure that it dominates"),
        (0.9, 0.1, "it does not dominate"),
        (3.0, np.nan, "whether it dominates is not known without an error"),
        (np.inf, np.nan, "whether it dominates is not known without an error"),
        (np.nan, np.nan, "the mean embedding did not move"),
    ],
)
def test_the_first_component_dominates_where_its_interval_says_so(stores, dominance, margin, verdict):
    found = spectral.spectra_of(stores[0])
    assert found.dominance_margin == pytest.approx(1.96 * found.errors.numbers["comparison.dominance"])
    numbers = {**found.errors.numbers, "comparison.dominance": margin / 1.96}
    changed = dataclasses.replace(
        found,
        comparison=dataclasses.replace(found.comparison, dominance=dominance),
        errors=dataclasses.replace(found.errors, numbers=numbers),
    )
    assert f"times the next largest ({verdict}); " in compare_spectra.summary(changed)


def test_a_store_of_one_unit_has_no_margin(stores):
    assert np.isnan(spectral.spectra_of(stores[0], num_groups=0).dominance_margin)


def test_an_empty_text_is_refused_before_the_store_is_read():
    with (
        flagsaver.flagsaver(store="/nowhere", text=["the wing", " "]),
        pytest.raises(ValueError, match="--text number 2 is empty"),
    ):
        compare_spectra.main([])


def test_contribution_by_the_program_and_from_the_wrong_checkpoint(stores, tmp_path, capsys):
    options = {"store": stores[0].files.url, "contribution": True, "backbone_path": str(small_run.backbone_dir())}
    with flagsaver.flagsaver(
        **options, model_path=str(small_run.model_dir()), output_dir=str(tmp_path), text=["the wing $ of a jet"]
    ):
        compare_spectra.main([])
    out = capsys.readouterr().out
    assert "logits of the backbone's aligned tokens: mean" in out and "(by the backbone)" in out
    for one in json.loads((tmp_path / "contribution_texts.json").read_text("utf-8")):
        total = np.array(one["total"])
        np.testing.assert_allclose(np.array(one["first"]) + one["rest"], total, atol=1e-6)
        assert len(one["tokens"]) == 10 and (np.diff(total) <= 1e-6).all(), "best first"
    assert (tmp_path / "contribution_text_1_embedder.svg").exists()
    assert (tmp_path / "contribution.svg").exists()
    with (
        flagsaver.flagsaver(**options, model_path=str(small_run.backbone_dir())),
        pytest.raises(ValueError, match=r"is not the model that .* was written with"),
    ):
        compare_spectra.main([])


def test_embedders_of_different_backbones_are_not_drawn_together(stores, tmp_path):
    other = small_run.launch(small_run.options(tmp_path))
    with (
        flagsaver.flagsaver(store=f"{stores[0].files.url},{other.files.url}"),
        pytest.raises(ValueError, match="these have different ones"),
    ):
        compare_spectra.main([])


def test_a_trajectory_that_is_not_there(stores, tmp_path):
    with (
        flagsaver.flagsaver(store=stores[0].files.url, trajectory=str(tmp_path)),
        pytest.raises(ValueError, match=r"no trajectory\.jsonl there\. train_pair writes one"),
    ):
        compare_spectra.main([])
