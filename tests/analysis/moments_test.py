"""Merged moments are the moments of all texts at once, computed in float64."""

import numpy as np
import pytest

from keytokens.pipelines.analysis import moments

# 1e-12: the pairwise merge rounds each of a dozen additions by 1e-16, on terms no larger than the result.
RTOL = 1e-12
SPLITS = {
    "one": [],
    "halves": [50],
    "uneven": [1, 3, 40, 99],
    "with empty parts": [0, 0, 17, 17, 100],
    "every text alone": list(range(1, 100)),
}


def embeddings(seed: int, *, mean_over_std: float = 0.0, n: int = 100, hidden_size: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean_over_std, 1.0, (n, hidden_size))


def assert_same(actual: moments.Moments, expected: moments.Moments):
    assert actual.count == expected.count
    for name in ("mean", "unit_sum"):
        np.testing.assert_allclose(getattr(actual, name), getattr(expected, name), rtol=RTOL, atol=RTOL)
    # Relative to the largest entry: covariances of independent dimensions are near zero.
    assert np.abs(actual.scatter - expected.scatter).max() <= RTOL * np.abs(expected.scatter).max()


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
@pytest.mark.parametrize("mean_over_std", [0.0, 1000.0])
def test_merged_parts_equal_the_whole(split, mean_over_std):
    f, g = embeddings(0, mean_over_std=mean_over_std), embeddings(1, mean_over_std=mean_over_std)
    parts = [moments.PairMoments.of(*both) for both in zip(np.split(f, split), np.split(g, split), strict=True)]
    assert len(parts) == len(split) + 1
    merged, whole = moments.merge_all(parts), moments.PairMoments.of(f, g)
    assert_same(merged.f, whole.f)
    assert_same(merged.g, whole.g)
    scale = np.sqrt(np.diag(whole.f.scatter).max() * np.diag(whole.g.scatter).max())
    assert np.abs(merged.cross_scatter - whole.cross_scatter).max() <= RTOL * scale


@pytest.mark.parametrize("mean_over_std", [0.0, 1000.0])
def test_moments_are_those_numpy_computes(mean_over_std):
    f, g = embeddings(2, mean_over_std=mean_over_std), embeddings(3, mean_over_std=mean_over_std)
    pair = moments.PairMoments.of(f, g)
    np.testing.assert_allclose(pair.f.sum, f.sum(0), rtol=RTOL)
    np.testing.assert_allclose(pair.f.second_moment, f.T @ f / len(f), rtol=RTOL, atol=RTOL * mean_over_std**2 + RTOL)
    joint = np.cov(f.T, g.T, bias=True)
    np.testing.assert_allclose(pair.f.covariance, joint[:7, :7], rtol=1e-10, atol=RTOL)
    np.testing.assert_allclose(pair.cross_covariance, joint[:7, 7:], rtol=1e-10, atol=RTOL)


def test_a_hand_computed_pair():
    f, g = np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([[0.0, 2.0], [0.0, 0.0]])
    pair = moments.PairMoments.of(f, g)
    assert pair.f.count == 2
    np.testing.assert_array_equal(pair.f.mean, [2, 2])
    np.testing.assert_array_equal(pair.f.scatter, [[2, 4], [4, 8]])
    np.testing.assert_allclose(pair.f.unit_sum, [1.6, 0.8], rtol=1e-15)
    np.testing.assert_array_equal(pair.f.second_moment, [[5, 6], [6, 8]])
    np.testing.assert_array_equal(pair.cross_scatter, [[0, 2], [0, 4]])


def test_bfloat16_like_input_is_accumulated_in_float64():
    f = embeddings(4, mean_over_std=1000.0).astype(np.float32)
    assert moments.Moments.of(f).mean.dtype == np.float64
    assert_same(moments.Moments.of(f), moments.Moments.of(f.astype(np.float64)))


def test_a_zero_embedding_has_no_direction():
    np.testing.assert_array_equal(moments.Moments.of(np.array([[0.0, 0.0], [0.0, 5.0]])).unit_sum, [0, 1])


def test_merging_nothing_changes_nothing():
    pair = moments.PairMoments.of(embeddings(5), embeddings(6))
    zero = moments.PairMoments.zero(7, has_backbone=True)
    for merged in (moments.merge(pair, zero), moments.merge(zero, pair)):
        assert_same(merged.f, pair.f)
        np.testing.assert_array_equal(merged.cross_scatter, pair.cross_scatter)
    nothing = moments.merge(zero, zero)
    assert nothing.f.count == 0
    assert np.isfinite(nothing.f.covariance).all()


def test_an_embedder_alone_needs_no_backbone():
    f = embeddings(7)
    merged = moments.merge_all(moments.PairMoments.of(part) for part in np.split(f, [30]))
    assert merged.g is None and merged.cross_scatter is None
    assert_same(merged.f, moments.Moments.of(f))


def test_the_same_parts_in_the_same_order_are_the_same_bits():
    parts = [moments.PairMoments.of(part) for part in np.split(embeddings(8), [10, 60])]
    first, second = moments.merge_all(parts), moments.merge_all(parts)
    assert first.f.scatter.tobytes() == second.f.scatter.tobytes()


def test_no_part_is_refused():
    with pytest.raises(ValueError, match=r"no moments to merge: start from PairMoments\.zero"):
        moments.merge_all([])


@pytest.mark.parametrize("hidden_size", [1, 2, 5])
def test_packing_a_symmetric_matrix_and_back(hidden_size):
    square = embeddings(9, n=hidden_size, hidden_size=hidden_size)
    symmetric = square + square.T
    packed = moments.pack_symmetric(symmetric)
    assert packed.shape == (hidden_size * (hidden_size + 1) // 2,)
    np.testing.assert_array_equal(moments.unpack_symmetric(packed, hidden_size), symmetric)


def test_the_order_of_a_packed_matrix():
    np.testing.assert_array_equal(moments.pack_symmetric(np.array([[1, 2, 3], [2, 4, 5], [3, 5, 6]])), np.arange(1, 7))
