"""Rank correlations and CKA by hand and against their invariances; the order of clusters; disagreements."""

import numpy as np
import pytest

from keytokens.pipelines.analysis import agreement


def test_rank_correlations_by_hand():
    cosines = np.array([[0.1, 0.2, 0.3, 0.4], [0.2, 0.1, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
    spearman, kendall = agreement.rank_correlations(cosines)
    # One swap of neighbours: rho = 1 - 6 * 2 / (4 * 15); of six pairs five agree.
    np.testing.assert_allclose(spearman, [[1, 0.8, -1], [0.8, 1, -0.8], [-1, -0.8, 1]], atol=1e-12)
    np.testing.assert_allclose(kendall, [[1, 4 / 6, -1], [4 / 6, 1, -4 / 6], [-1, -4 / 6, 1]], atol=1e-12)


def test_a_constant_model_has_no_correlation():
    spearman, kendall = agreement.rank_correlations(np.array([[1.0, 1.0, 1.0], [0.1, 0.2, 0.3]]))
    assert np.isnan(spearman[0, 1]) and np.isnan(kendall[0, 1])
    assert np.isnan(agreement.spearman_rho(np.ones(1), np.ones(1)))
    with pytest.raises(ValueError, match="two are needed"):
        agreement.rank_correlations(np.ones((2, 1)))


def test_cka_sees_no_rotation_scale_or_shift():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (200, 6))
    rotation = np.linalg.qr(rng.normal(0, 1, (6, 6)))[0]
    assert agreement.linear_cka(x, 3 * x @ rotation + 5) == pytest.approx(1)
    assert agreement.linear_cka(x, rng.normal(0, 1, (200, 4))) < 0.1
    # Half of the columns: ||x^T y||^2 = sum of two of the four squared variances.
    y = np.linalg.qr(x - x.mean(0))[0][:, :4]
    assert agreement.linear_cka(y, y[:, :2]) == pytest.approx(2 / (2 * np.sqrt(2)))
    assert np.isnan(agreement.linear_cka(x, np.ones((200, 2))))


def test_models_that_agree_stand_together():
    rho = np.array([[1, 0.1, 0.9, 0.1], [0.1, 1, 0.1, 0.8], [0.9, 0.1, 1, 0.1], [0.1, 0.8, 0.1, 1]])
    order = agreement.clustered_order(rho)
    assert sorted(order) == [0, 1, 2, 3]
    assert abs(order.index(0) - order.index(2)) == abs(order.index(1) - order.index(3)) == 1
    assert agreement.clustered_order(rho[:2, :2]) == [0, 1]
    assert sorted(agreement.clustered_order(np.where(rho < 0.5, np.nan, rho))) == [0, 1, 2, 3]


def test_disagreements_by_hand():
    numbers, differences = agreement.largest_disagreements(np.array([1, 2, 3, 4.0]), np.array([1, 4, 3, 2.0]), 3)
    assert numbers.tolist() == [1, 3, 0]
    np.testing.assert_allclose(differences, [-0.5, 0.5, 0])
