"""Mean, variance, quantiles of a histogram by hand; the closed form against all pairs one by one."""

import numpy as np
import pytest

from keytokens.pipelines.analysis.pair_statistics import PairHistogram, closed_form

# Bins [-1, -0.5), [-0.5, 0), [0, 0.5), [0.5, 1).
FOUR = PairHistogram(-1.0, 0.5, np.array([0, 2, 6, 2]))


def test_moments_by_hand():
    assert FOUR.edges.tolist() == [-1, -0.5, 0, 0.5, 1]
    assert FOUR.num_pairs == 10
    assert FOUR.mean == pytest.approx((2 * -0.25 + 6 * 0.25 + 2 * 0.75) / 10)
    assert FOUR.variance == pytest.approx((2 * 0.5**2 + 0 + 2 * 0.5**2) / 10 - 0.25 / 12)
    assert (FOUR.density * 0.5).sum() == pytest.approx(1)


def test_quantiles_by_hand():
    # A tenth of ten pairs is half of the two of the second bin; the median is the middle of the third's six.
    np.testing.assert_allclose(FOUR.quantiles([0, 0.1, 0.2, 0.5, 0.8, 1]), [-0.5, -0.25, 0, 0.25, 0.5, 1])


def test_coarser_by_hand():
    two = FOUR.coarser(2)
    assert (two.counts.tolist(), two.edges.tolist()) == ([2, 8], [-1, 0, 1])
    with pytest.raises(ValueError, match="by 3"):
        FOUR.coarser(3)


def test_edges_are_decimal():
    assert PairHistogram(-1.0, 0.001, np.zeros(2000, np.int64)).edges[1300] == 0.3


def test_against_the_values_themselves():
    values = np.clip(np.random.default_rng(0).normal(0.1, 0.2, 200_000), -1, 0.9999)
    counts, _ = np.histogram(values, np.linspace(-1, 1, 2001))
    found = PairHistogram(-1.0, 0.001, counts)
    assert found.mean == pytest.approx(values.mean(), abs=1e-5)  # 0.001 / sqrt(12 n), four times over
    assert found.variance == pytest.approx(values.var(), abs=1e-6)
    shares = [0.001, 0.25, 0.5, 0.999]
    np.testing.assert_allclose(found.quantiles(shares), np.quantile(values, shares), atol=0.001)


def test_nothing_has_no_statistics():
    empty = PairHistogram(-1.0, 0.5, np.zeros(4, np.int64))
    assert np.isnan(empty.mean) and np.isnan(empty.variance)
    with pytest.raises(ValueError, match="no pair"):
        empty.quantiles([0.5])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        FOUR.quantiles([1.5])


def test_closed_form_equals_all_pairs():
    rows = np.random.default_rng(1).normal(0.3, 1, (50, 7))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = [float(unit[i] @ unit[j]) for i in range(50) for j in range(i)]
    np.testing.assert_allclose(closed_form(unit), (np.mean(cosines), np.var(cosines)), rtol=1e-12)
    with pytest.raises(ValueError, match="no pair"):
        closed_form(unit[:1])
