"""Counts of all pairs: exactly those of integer arithmetic, n(n-1)/2 of them, whatever the tile and the devices."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.kernels import count_pairs, to_grid
from keytokens.kernels import pair_histogram as kernel


def vectors(n: int, dimension: int, *, seed: int = 0, offset: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(offset, 1.0, (n, dimension)).astype(np.float32)


def histogram(rows: np.ndarray, **options) -> np.ndarray:
    return np.asarray(count_pairs(to_grid(jnp.asarray(rows)), **options)).sum(0, dtype=np.int64)


def in_integers(rows: np.ndarray) -> np.ndarray:
    """The definition, one pair after another in Python's integers."""
    grid = [[int(x) for x in row] for row in np.asarray(to_grid(jnp.asarray(rows))).tolist()]
    counts = np.zeros(kernel.NUM_BINS, np.int64)
    for i, a in enumerate(grid):
        for b in grid[:i]:
            product = sum(x * y for x, y in zip(a, b, strict=True))
            counts[product // kernel.UNITS_PER_BIN - kernel.FIRST_BIN] += 1
    return counts


def test_three_vectors_by_hand():
    # Cosines 0.6, 0.8 and 0: on edges of bins, which hold their lower edge. 0.6 s = 2428.6, so 2429^2 / 16384 = 600.09.
    counts = histogram(np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32))
    assert np.flatnonzero(counts).tolist() == [1024 + 0, 1024 + 600, 1024 + 800]
    assert counts.sum() == 3


@pytest.mark.parametrize(("n", "dimension"), [(2, 1), (40, 3), (33, 384)])
def test_equals_integer_arithmetic(n, dimension):
    rows = vectors(n, dimension, offset=0.2)
    np.testing.assert_array_equal(histogram(rows, tile_rows=8), in_integers(rows))


@pytest.mark.parametrize(("n", "tiles"), [(131, (1, 37, 200)), (1, (4,)), (2, (1,))])
def test_counts_do_not_depend_on_the_tile(n, tiles):
    rows = vectors(n, 50)
    if n > 10:
        rows[3], rows[4] = rows[100], -rows[100]  # cosines of 1 and -1
        rows[5:40] = rows[5]  # and many ties
    expected = histogram(rows)
    assert expected.sum() == n * (n - 1) // 2
    for tile_rows in tiles:
        np.testing.assert_array_equal(histogram(rows, tile_rows=tile_rows), expected)


@pytest.mark.parametrize("dimension", [1, 2, 300, 4096, kernel.MAX_DIMENSION])
def test_the_grid_stays_where_float32_sums_are_exact(dimension):
    # Entries that all round up are the worst case: every one gains up to a half.
    worst = np.full((1, dimension), 1.0)
    hard = np.floor(np.linspace(1, 40, dimension))[None] + 0.5
    for rows in (worst, hard, vectors(5, dimension)):
        grid = np.asarray(to_grid(jnp.asarray(rows, jnp.float32)), np.float64)
        assert (grid == np.rint(grid)).all()
        assert np.square(grid).sum(1).max() <= 2**24


def test_rounding_moves_a_cosine_by_a_tenth_of_a_bin():
    rows = vectors(400, 384, offset=0.3)
    grid = np.asarray(to_grid(jnp.asarray(rows)), np.float64)
    unit = rows.astype(np.float64) / np.linalg.norm(rows, axis=1, keepdims=True)
    above = np.triu_indices(len(rows), 1)
    error = (grid @ grid.T / kernel.SCALE**2 - unit @ unit.T)[above]
    # sqrt(2 / 12) / s = 1.009e-4; 79,800 pairs, of 400 independent vectors: a few percent.
    assert error.std() == pytest.approx(np.sqrt(2 / 12) / kernel.SCALE, rel=0.05)
    assert abs(error.mean()) < 2e-5
    assert abs(error).max() < np.sqrt(384) / kernel.SCALE + 384 / (4 * kernel.SCALE**2)


def test_extreme_sizes_of_vectors_do_not_matter():
    rows = vectors(20, 5)
    sizes = 10.0 ** np.linspace(-30, 30, 20)[:, None]
    np.testing.assert_array_equal(histogram((rows * sizes).astype(np.float32)), histogram(rows))


def test_misuse_is_refused():
    with pytest.raises(ValueError, match=r"float64|int32"):
        to_grid(jnp.zeros((2, 3), jnp.int32))
    with pytest.raises(ValueError, match=r"D=9326 must be at most 9325"):
        to_grid(jnp.zeros((1, kernel.MAX_DIMENSION + 1)))
    with pytest.raises(ValueError, match="0 vectors have no pairs"):
        count_pairs(jnp.zeros((0, 3)))
    with pytest.raises(ValueError, match="tile_rows=0"):
        count_pairs(jnp.zeros((2, 3)), tile_rows=0)
    with pytest.raises(ValueError, match="overflow"):
        count_pairs(jax.ShapeDtypeStruct((100_000, 3), jnp.float32), tile_rows=50_000)


def test_no_more_strips_are_in_flight_than_fit(monkeypatch):
    """Each holds tiles until it is done, and dispatching it returns at once."""
    started, done, in_flight = [], [], []
    compute, wait = kernel._strip, jax.block_until_ready

    def strip(*arguments, **sizes):
        started.append(compute(*arguments, **sizes))
        in_flight.append(len(started) - len(done))
        return started[-1]

    monkeypatch.setattr(kernel, "_strip", strip)
    monkeypatch.setattr(jax, "block_until_ready", lambda counts: done.append(counts) or wait(counts))
    count_pairs(to_grid(jnp.asarray(vectors(100, 5))), tile_rows=10, devices=jax.devices()[:1])
    assert len(started) == 10 and max(in_flight) == kernel._STRIPS_AT_ONCE
    assert all(one is other for one, other in zip(started, done, strict=False)), "the oldest first"


_ON_FOUR = """
import jax, jax.numpy as jnp, numpy as np
from keytokens.kernels import count_pairs, to_grid
assert len(jax.devices()) == 4
rows = np.random.default_rng(0).normal(0, 1, (117, 50)).astype(np.float32)
of_all = np.asarray(count_pairs(to_grid(jnp.asarray(rows)), tile_rows=16)).sum(0, dtype=np.int64)
of_one = np.asarray(count_pairs(to_grid(jnp.asarray(rows)), devices=jax.devices()[2:3])).sum(0, dtype=np.int64)
np.testing.assert_array_equal(of_all, of_one)
assert of_all.sum() == 117 * 116 // 2
from keytokens.pipelines.words import all_pairs
unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
found, cosines = all_pairs.nearest_neighbours(unit, 7)
products = unit @ unit.T
np.fill_diagonal(products, -2)
np.testing.assert_array_equal(found, np.argsort(-products, axis=1, kind="stable")[:, :7])
print("same counts")
"""


def test_on_four_virtual_devices():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run(
        [sys.executable, "-c", _ON_FOUR],
        env=environment,
        capture_output=True,
        text=True,
        cwd=pathlib.Path(__file__).parents[2],
    )
    assert ran.returncode == 0 and "same counts" in ran.stdout, ran.stdout + ran.stderr
