"""What reaches a threshold: at least k tokens, the best among them, seldom many more, and all of them found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.kernels.selection import by_threshold, exact_topk
from keytokens.kernels.threshold import capacity_for, from_keys, reaching, to_keys
from tests.kernels import cases

SHAPES = [(1, 1), (31, 3), (32, 32), (3217, 1), (3217, 90), (3217, 3217), (9000, 37), (40003, 400)]  # V, k


def expected(numbers: np.ndarray, threshold: np.ndarray) -> list[list[int]]:
    return [np.flatnonzero(row >= least).tolist() for row, least in zip(numbers, threshold, strict=True)]


@pytest.mark.parametrize(("vocabulary", "k"), SHAPES)
def test_finds_all_that_reach_it_in_order_and_the_k_best_do(vocabulary, k):
    numbers = np.random.default_rng(0).standard_normal((7, vocabulary)).astype(np.float32)
    found = reaching(jnp.asarray(numbers), k, vocabulary)
    threshold = np.asarray(from_keys(found.threshold))
    for row, wanted in enumerate(expected(numbers, threshold)):
        assert np.asarray(found.tokens)[row].tolist() == wanted + [vocabulary] * (vocabulary - len(wanted))
        assert found.num_tokens[row] == len(wanted) >= k
    assert (threshold <= np.sort(numbers, axis=1)[:, -k]).all()


@pytest.mark.parametrize(("vocabulary", "k"), [(3217, 90), (30522, 100), (30522, 256), (151936, 10)])
def test_few_more_than_k_reach_it(vocabulary, k):
    numbers = np.random.default_rng(1).standard_normal((20, vocabulary)).astype(np.float32)
    count = np.asarray(reaching(jnp.asarray(numbers), k, capacity_for(k)).num_tokens)
    # Groups three times as many as k, or one and a half in the worst case, hold 1.2 or 1.65 k; 1 / 16 for the stop.
    assert count.mean() < 1.35 * k + 4 and count.max() < capacity_for(k)


def test_too_many_are_counted_though_there_is_no_place_for_them():
    numbers = jnp.zeros((3, 3217)).at[1].set(jnp.arange(3217.0))
    found = reaching(numbers, 20, capacity_for(20))
    assert found.num_tokens[0] == found.num_tokens[2] == 3217
    assert 20 <= found.num_tokens[1] <= 3217
    assert (found.tokens[1] >= 0).all() and (found.tokens <= 3217).all()


@pytest.mark.parametrize("name", cases.adversarial(1).keys())
def test_ties_and_crowds_keep_the_order_of_a_stable_sort(name):
    logits = cases.adversarial(6001)[name][None, :]
    order = np.argsort(-logits, axis=1, kind="stable")[:, :100]
    values, indices = by_threshold(jnp.asarray(logits), 100)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(values, np.take_along_axis(logits, order, 1))


def test_one_crowded_row_does_not_change_its_neighbours():
    logits = np.random.default_rng(2).standard_normal((5, 6001)).astype(np.float32)
    alone = by_threshold(jnp.asarray(logits), 100)
    logits[2] = 1.0
    beside = by_threshold(jnp.asarray(logits), 100)
    assert np.asarray(beside[1])[2].tolist() == list(range(100))
    for before, after in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(np.delete(before, 2, 0), np.delete(after, 2, 0))


def test_keys_have_the_order_of_the_numbers():
    ascending = np.array([-np.inf, -3e38, -1.5, -1.25, -1e-37, 0.0, 1e-37, 1.25, 1.5, 3e38, np.inf, np.nan], np.float32)
    keys = np.asarray(to_keys(jnp.asarray(ascending)))
    assert (np.diff(keys.astype(np.int64)) > 0).all()
    np.testing.assert_array_equal(from_keys(jnp.asarray(keys)), ascending)
    others = to_keys(jnp.asarray([-0.0, -np.nan], jnp.float32))
    np.testing.assert_array_equal(others, keys[[5, 11]])


def test_the_program_for_other_devices_is_the_one_of_two_stages():
    """The selection by a threshold is measured on CPUs only."""
    traced = jax.jit(lambda logits: exact_topk(logits, 20)).trace(jax.ShapeDtypeStruct((4, 9000), jnp.float32))
    on_cpu, on_tpu = (traced.lower(lowering_platforms=(platform,)).as_text() for platform in ("cpu", "tpu"))
    assert "popcnt" in on_cpu and "popcnt" not in on_tpu
