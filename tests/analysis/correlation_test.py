"""Rank correlations are scipy's, with intervals; weighted overlap by hand."""

import math

import numpy as np
import pytest
import scipy.stats

from keytokens.pipelines.analysis.correlation import spearman
from keytokens.pipelines.analysis.overlap import weighted_jaccard


def test_equals_scipy_with_ties_and_covers_the_truth():
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 6, 200).astype(float)
    values = gold + rng.normal(size=200) * 2
    found = spearman(values, gold)
    assert found.estimate == pytest.approx(scipy.stats.spearmanr(values, gold).statistic)
    # Fisher's transform gives the textbook's interval of a correlation.
    half = 1.96 * math.sqrt((1 + found.estimate**2 / 2) / 197)
    low, high = (math.tanh(math.atanh(found.estimate) + sign * half) for sign in (-1, 1))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03)


def test_constants_have_no_rank_and_two_pairs_no_correlation():
    assert math.isnan(spearman(np.ones(5), np.arange(5.0)).estimate)
    with pytest.raises(ValueError, match="2 values and 2 gold scores"):
        spearman(np.arange(2.0), np.arange(2.0))


def test_weighted_overlap_by_hand():
    """Tokens 1, 2 against 2, 3: min(4, 1) of 3 + 4 + 5. The third pair shares nothing, the fourth has no weight."""
    a, wa = np.array([[1, 2], [1, 2], [1, 2], [1, 2]]), np.array([[3.0, 4], [3, 4], [3, 4], [-3, 0]])
    b, wb = np.array([[3, 2], [2, 1], [7, 8], [1, 2]]), np.array([[5.0, 1], [4, 3], [1, 1], [-1, -2]])
    np.testing.assert_allclose(weighted_jaccard(a, wa, b, wb), [1 / 12, 1.0, 0.0, 0.0])
