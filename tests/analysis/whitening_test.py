"""Whitening of a head: what it promises about logits, and what it refuses."""

import numpy as np
import pytest

from keytokens.pipelines.analysis import whitening


def head(vocab_size=300, size=12, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(vocab_size, size)) @ rng.normal(size=(size, size)) + rng.normal(size=size)).astype(
        np.float32
    )


def test_whitened_rows_are_uncorrelated_and_of_unit_mean_square():
    rows = head()
    matrix, mean = whitening.head_whitening([rows])
    white = (rows - mean) @ matrix
    np.testing.assert_allclose(white.T @ white / len(rows), np.eye(12) / 12, atol=1e-5)
    assert (white**2).sum(1).mean() == pytest.approx(1, abs=1e-5)


def test_products_of_all_whitened_logits_are_the_dot_product_of_the_texts():
    rows, rng = head(), np.random.default_rng(1)
    matrix, mean = whitening.head_whitening([rows])
    h, q = rng.normal(size=(2, 12))
    logits = [rows @ (matrix @ x) - mean @ (matrix @ x) for x in (h, q)]
    assert logits[0] @ logits[1] == pytest.approx(len(rows) / 12 * (h @ q), rel=1e-4)
    raw = (rows @ h) @ (rows @ q)
    assert abs(raw / (len(rows) / 12 * (h @ q)) - 1) > 0.1, "raw logits would have done as well"


def test_blocks_change_nothing():
    rows = head()
    whole, parts = whitening.head_whitening([rows]), whitening.head_whitening([rows[:7], rows[7:100], rows[100:]])
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_direction_in_which_no_row_differs_is_left_out():
    rows = head()
    rows[:, 3] = 2.0
    matrix, mean = whitening.head_whitening([rows])
    assert np.isfinite(matrix).all()
    assert mean[3] == pytest.approx(2.0)
    np.testing.assert_allclose(matrix[3], 0, atol=1e-4)


@pytest.mark.parametrize("rows", [np.zeros((0, 4)), np.ones((5, 4))])
def test_a_head_without_directions_is_refused(rows):
    with pytest.raises(ValueError, match="head"):
        whitening.head_whitening([rows])
