"""The certificate finds agreement where there is some, and disagreement where there is none."""

import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import flagsaver

from keytokens import models
from keytokens.pipelines import certify_invariance, list_models
from keytokens.pipelines.analysis import overlap
from tests import tiny_checkpoint


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> models.EmbedderConfig:
    return models.read_embedder(str(tiny_checkpoint.write_tiny_bert(tmp_path_factory.mktemp("model"))))


def test_batching_and_padding_change_nothing_and_bfloat16_changes_something(config):
    texts = ["the wing", "a jet of air", "heat transfer to a cone in supersonic flow"]
    found = {row.variant: row for row in certify_invariance.certify(config, texts, k=10)}
    assert len(found) == sum(certify_invariance.why_not(each) is None for each in certify_invariance.VARIANTS) > 8
    for name, row in found.items():
        if "int16" in name:
            assert 1e-7 < row.largest_logit_difference < 1e-2
        elif "bfloat16" in name:
            assert row.largest_logit_difference > 1e-4, "a certificate that sees no rounding sees nothing"
        else:
            assert (row.mean_jaccard, row.share_same_set) == (1, 1)
            assert row.largest_logit_difference < 1e-4
    table = certify_invariance.render(list(found.values()), 10)
    assert "padded on the left" in table and "1.0000" in table


def test_a_model_that_reads_its_padding_fails_the_certificate(config, monkeypatch):
    embed = models.Embedder.embed

    def careless(self, params, ids, mask, pooled):
        return embed(self, params, ids, jnp.ones_like(mask), pooled)

    monkeypatch.setattr(models.Embedder, "embed", careless)
    right = certify_invariance.Variant("padded on the right", padding=32)
    monkeypatch.setattr(certify_invariance, "VARIANTS", (right,))
    texts = ["the wing", "heat transfer to a cone in supersonic flow"]
    found = {row.variant: row for row in certify_invariance.certify(config, texts, k=5)}
    assert found["padded on the right"].share_same_set < 1


def test_an_output_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    with (
        flagsaver.flagsaver(output=str(tmp_path / "none" / "x.json"), texts="/nowhere"),
        pytest.raises(ValueError, match=r"--output=/.*: there is no directory"),
    ):
        certify_invariance.main([])


def test_nothing_to_certify_is_refused(config):
    with pytest.raises(ValueError, match="holds no text"):
        certify_invariance.certify(config, [], k=1)
    with pytest.raises(ValueError, match="--k=999 must be between 1 and"):
        certify_invariance.certify(config, ["a"], k=999)


def test_jaccard_by_hand():
    a = np.array([[1, 2, 3], [1, 2, 3], [1, 2, 3]])
    b = np.array([[3, 2, 1], [3, 4, 5], [4, 5, 6]])
    np.testing.assert_array_equal(overlap.jaccard(a, b), [1, 1 / 5, 0])
    np.testing.assert_array_equal(overlap.jaccard(a[:, :0], b[:, :0]), [1, 1, 1])


def test_the_list_of_models_names_every_registered_one(capsys):
    list_models.main([])
    out = capsys.readouterr().out
    for name, row in models.ZOO.items():
        assert name in out and row.checkpoint in out
