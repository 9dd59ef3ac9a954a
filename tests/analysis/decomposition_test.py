"""A cosine is shared out among tokens: by hand, exactly, and without preferring any order of them."""

import numpy as np
import pytest

from keytokens.pipelines.analysis.decomposition import decompose


def test_by_hand():
    """a = (1, 1, 0), b = (1, 0, 1): cosine 1/2, all of it along the first axis."""
    found = decompose(np.array([1.0, 1, 0]), np.array([1.0, 0, 1]), np.array([[2.0, 0, 0], [0, 5.0, 0]]))
    assert found.similarity == pytest.approx(0.5)
    np.testing.assert_allclose(found.shares, [0.5, 0.0], atol=1e-12)
    assert found.remainder == pytest.approx(0.0, abs=1e-12)


def test_what_lies_outside_the_tokens_is_the_remainder():
    found = decompose(np.array([1.0, 0, 1]), np.array([1.0, 0, -1]), np.array([[3.0, 0, 0]]))
    assert found.similarity == pytest.approx(0.0)
    np.testing.assert_allclose(found.shares, [0.5])
    assert found.remainder == pytest.approx(-0.5)


@pytest.mark.parametrize("tokens", [1, 7, 12, 40])
def test_it_is_exact_for_any_rows_and_leaves_nothing_where_they_span_the_space(tokens):
    rng = np.random.default_rng(tokens)
    a, b, rows = rng.normal(size=12), rng.normal(size=12), rng.normal(size=(tokens, 12))
    found = decompose(a, b, rows)
    projected = rows.T @ np.linalg.pinv(rows.T)
    within = a @ projected @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert found.shares.sum() == pytest.approx(within, abs=1e-10)
    assert found.shares.sum() + found.remainder == pytest.approx(found.similarity, abs=1e-12)
    if tokens >= 12:
        assert found.remainder == pytest.approx(0.0, abs=1e-10)
    order = rng.permutation(tokens)
    np.testing.assert_allclose(decompose(a, b, rows[order]).shares, found.shares[order], atol=1e-10)


def test_parallel_rows_share_what_they_carry():
    found = decompose(np.array([2.0, 0]), np.array([3.0, 0]), np.array([[1.0, 0], [1.0, 0]]))
    np.testing.assert_allclose(found.shares, [0.5, 0.5])


def test_no_tokens_and_no_embedding():
    assert decompose(np.array([1.0, 0]), np.array([1.0, 0]), np.zeros((0, 2))).remainder == pytest.approx(1.0)
    with pytest.raises(ValueError, match="zero or not finite"):
        decompose(np.zeros(2), np.ones(2), np.eye(2))
