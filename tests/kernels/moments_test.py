"""Block moments against float64 numpy at 1e-6 relative, the project's bound for everything the spectra rest on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.kernels import block_cross_scatter, block_moments


def rows(count: int, dim: int, *, mean: float, seed: int = 0) -> np.ndarray:
    """Correlated rows with standard deviations near one around `mean` in every dimension."""
    rng = np.random.default_rng(seed)
    mixing = np.eye(dim) + 0.3 * rng.standard_normal((dim, dim)) / np.sqrt(dim)
    return (rng.standard_normal((count, dim)) @ mixing + mean).astype(np.float32)


def frobenius_error(result, expected) -> float:
    return float(np.linalg.norm(np.asarray(result, np.float64) - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("mean", [0.0, 1.0, 1000.0])
@pytest.mark.parametrize(("count", "dim"), [(2, 3), (7, 5), (256, 96), (1000, 33)])
def test_moments_equal_float64(count, dim, mean):
    x = rows(count, dim, mean=mean)
    exact = x.astype(np.float64)
    result = block_moments(jnp.asarray(x), jnp.ones(count, bool))
    centred = exact - exact.mean(0)
    assert int(result.count) == count
    assert frobenius_error(result.scatter, centred.T @ centred) < 1e-6
    assert frobenius_error(result.unit_sum, (exact / np.linalg.norm(exact, axis=1, keepdims=True)).sum(0)) < 1e-6
    fine_mean = np.asarray(result.mean, np.float64) + np.asarray(result.mean_tail, np.float64)
    # Rows of deviation one: their mean is known to float32's accuracy of the deviation, not of the mean.
    np.testing.assert_allclose(fine_mean, exact.mean(0), atol=2e-7)


@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_cross_scatter_equals_float64(mean):
    f, g = rows(300, 40, mean=mean), rows(300, 40, mean=-mean, seed=1)
    g += 0.5 * (f - f.mean(0)) @ rows(40, 40, mean=0.0, seed=2)
    exact_f, exact_g = (x.astype(np.float64) - x.astype(np.float64).mean(0) for x in (f, g))
    result = block_cross_scatter(jnp.asarray(f), jnp.asarray(g), jnp.ones(300, bool))
    assert frobenius_error(result, exact_f.T @ exact_g) < 1e-6


def test_blocks_merge_to_the_whole_even_far_from_zero():
    x = rows(2048, 24, mean=1000.0)
    exact = x.astype(np.float64)
    count, mean, scatter = 0, np.zeros(24), np.zeros((24, 24))
    for block in np.split(x, 16):
        part = block_moments(jnp.asarray(block), jnp.ones(128, bool))
        part_mean = np.asarray(part.mean, np.float64) + np.asarray(part.mean_tail, np.float64)
        difference = part_mean - mean
        total = count + int(part.count)
        scatter += np.asarray(part.scatter, np.float64) + np.outer(difference, difference) * count * 128 / total
        mean += difference * 128 / total
        count = total
    centred = exact - exact.mean(0)
    assert frobenius_error(scatter, centred.T @ centred) < 1e-6


def test_rows_that_are_not_valid_may_hold_anything():
    x = rows(20, 6, mean=2.0)
    valid = np.arange(20) % 3 != 0
    expected = block_moments(jnp.asarray(x[valid]), jnp.ones(valid.sum(), bool))
    dirty = np.where(valid[:, None], x, np.float32(np.nan))
    dirty[0], dirty[3] = np.inf, 3e38
    result = block_moments(jnp.asarray(dirty), jnp.asarray(valid))
    for value, wanted in zip(result, expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-6, atol=1e-6)
    cross = block_cross_scatter(jnp.asarray(dirty), jnp.asarray(dirty), jnp.asarray(valid))
    np.testing.assert_allclose(cross, expected.scatter, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("count", [0, 4])
def test_no_valid_row_gives_zeros(count):
    result = block_moments(jnp.full((count, 3), jnp.nan), jnp.zeros(count, bool))
    for value in result:
        np.testing.assert_array_equal(value, np.zeros(value.shape))


def test_unit_vectors_of_tiny_and_huge_rows_and_of_zero():
    x = jnp.array([[3e-30, 4e-30], [3e30, 4e30], [0.0, 0.0]], jnp.float32)
    np.testing.assert_allclose(block_moments(x, jnp.ones(3, bool)).unit_sum, [1.2, 1.6], rtol=1e-6)


def test_runs_inside_an_outer_jit():
    x = jnp.asarray(rows(10, 4, mean=0.0))
    valid = jnp.arange(10) > 1
    inside = jax.jit(lambda x, valid: block_moments(x, valid).scatter)(x, valid)
    np.testing.assert_allclose(inside, block_moments(x, valid).scatter, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: block_moments(jnp.zeros(3), jnp.ones(3, bool)), r"hidden is float32 \(3,\)"),
        (lambda: block_moments(jnp.zeros((3, 2), jnp.bfloat16), jnp.ones(3, bool)), "hidden is bfloat16"),
        (lambda: block_moments(jnp.zeros((3, 2)), jnp.ones(2, bool)), r"valid is bool \(2,\).*\(3,\)"),
        (lambda: block_cross_scatter(jnp.zeros((3, 2)), jnp.zeros((4, 2)), jnp.ones(3, bool)), r"valid is bool \(3,\)"),
    ],
)
def test_misuse_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
