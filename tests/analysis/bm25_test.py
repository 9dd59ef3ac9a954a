"""BM25 against numbers worked out by hand."""

import math

import numpy as np
import pytest

from keytokens.pipelines.analysis import bm25


def test_idf_by_hand():
    # Ten documents: ln(1 + 7.5 / 3.5) for df 3; a token of every document still counts a little.
    values = bm25.idf(np.array([3, 10]), 10)
    assert values.tolist() == pytest.approx([math.log(1 + 7.5 / 3.5), math.log(1 + 0.5 / 10.5)])
    assert (values > 0).all()


def test_impacts_by_hand():
    # tf 2, length 20 of mean 10, k1 1.2, b 0.75: 2 * 2.2 * 2 / (2 + 1.2 * (0.25 + 1.5)).
    found = bm25.impacts(np.array([2]), np.array([20]), np.array([2.0]), mean_length=10)
    assert found.tolist() == pytest.approx([2 * 2.2 * 2 / (2 + 1.2 * 1.75)])


def test_without_length_normalisation_and_saturation_it_is_tf_idf():
    found = bm25.impacts(np.array([1, 1]), np.array([5, 500]), np.array([1.5, 1.5]), mean_length=10, k1=1e9, b=0)
    assert found[0] == found[1] == pytest.approx(1.5)


def test_a_token_that_is_not_there_adds_nothing():
    assert bm25.impacts(np.array([0]), np.array([0]), np.array([3.0]), mean_length=0.0).tolist() == [0.0]
