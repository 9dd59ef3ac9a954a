"""Paired tests against exhaustive enumeration and scipy."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from keytokens.pipelines.analysis import significance


def test_the_randomisation_test_approaches_all_sign_flips():
    difference = np.array([0.3, -0.1, 0.25, 0.4, 0.05, 0.2, -0.02, 0.1])
    flips = np.array(list(itertools.product([-1, 1], repeat=8)))
    exact = (np.abs((flips * difference).mean(1)) >= abs(difference.mean()) - 1e-12).mean()
    found = significance.paired_test(difference, np.zeros(8), flips=20_000)
    assert found.p_randomization == pytest.approx(exact, abs=0.01)
    assert found.p_t == pytest.approx(stats.ttest_1samp(difference, 0).pvalue)
    assert (found.wins, found.losses) == (6, 2)
    assert found.difference == pytest.approx(difference.mean())


def test_equal_systems_do_not_differ():
    found = significance.paired_test(np.array([0.1, 0.9]), np.array([0.1, 0.9]))
    assert (found.p_randomization, found.p_t, found.wins, found.losses) == (1.0, 1.0, 0, 0)


def test_one_query_says_nothing_of_its_variance():
    assert math.isnan(significance.paired_test(np.array([0.5]), np.array([0.2])).p_t)
    assert math.isnan(significance.paired_test(np.array([0.5]), np.array([0.5])).p_t)


def test_other_queries_are_refused():
    with pytest.raises(ValueError, match="same queries"):
        significance.paired_test(np.zeros(3), np.zeros(4))
