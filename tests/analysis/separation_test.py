"""Separation by hand, and of normal distributions, for which it is known."""

import numpy as np
import pytest
import scipy.stats

from keytokens.pipelines.analysis.separation import separate


def test_by_hand():
    found = separate(np.array([0.3, 0.5, 0.7]), np.array([0.1, 0.3]))
    # Of six pairs related wins five and ties one.
    assert found.auc == pytest.approx(5.5 / 6)
    pooled = np.sqrt((2 * 0.04 + 1 * 0.02) / 3)
    assert found.cohens_d == pytest.approx(0.3 / pooled)
    # 0.3 lies in one bin of either, a third and a half of the pairs.
    assert found.overlap == pytest.approx(1 / 3)
    assert (found.num_related, found.num_random, found.mean_related) == (3, 2, pytest.approx(0.5))


def test_normal_distributions():
    rng = np.random.default_rng(0)
    found = separate(rng.normal(0.3, 0.15, 200_000), rng.normal(0, 0.15, 200_000))
    assert found.cohens_d == pytest.approx(2, abs=0.02)
    assert found.auc == pytest.approx(scipy.stats.norm.cdf(2 / np.sqrt(2)), abs=0.002)
    assert found.overlap == pytest.approx(2 * scipy.stats.norm.cdf(-1), abs=0.01)


def test_what_is_equal_and_what_is_disjoint():
    same = np.array([-1.0, 0.2, 1.0])
    assert (separate(same, same).auc, separate(same, same).overlap) == (0.5, 1.0)
    apart = separate(np.array([0.9, 0.9]), np.array([0.1, 0.1]))
    assert (apart.auc, apart.cohens_d, apart.overlap) == (1.0, np.inf, 0.0)
    level = separate(np.array([0.1, 0.1]), np.array([0.1, 0.1]))
    assert (level.auc, level.cohens_d, level.overlap) == (0.5, 0.0, 1.0)


def test_one_pair_is_refused():
    with pytest.raises(ValueError, match="1 related and 2 random"):
        separate(np.zeros(1), np.zeros(2))
