"""The certificate of "screened": bounds that hold, rows that pass, and inputs made to make it fail."""

import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.kernels import aligned_topk, prepare_head
from keytokens.kernels.logits import Terms
from keytokens.kernels.screening import round_up, token_columns, upper_bounds
from tests.kernels import cases
from tests.kernels.agreement import assert_close, assert_same


def num_redone(hidden, head, k, **options) -> int:
    result = aligned_topk(jnp.asarray(hidden), jnp.asarray(head), k, implementation="screened", **options)
    expected = aligned_topk(jnp.asarray(hidden), jnp.asarray(head), k, implementation="reference", **options)
    assert_same(result, expected)
    return int(result.redone.sum())


@pytest.mark.parametrize("magnitude", [1e-18, 1.0, 1e15])
def test_bounds_are_above_the_logits_and_not_far_above(magnitude):
    hidden, head = cases.realistic(20, 96, 900)
    hidden *= np.float32(magnitude)
    rng = np.random.default_rng(1)
    spread = float(np.std(hidden @ head.T))
    bias, direction, coefficient = (rng.standard_normal(n).astype(np.float32) * spread for n in (900, 900, 20))
    direction /= np.float32(spread)
    terms = Terms(bias=jnp.asarray(bias))
    columns = token_columns(jnp.asarray(head), terms)
    bounds = np.asarray(upper_bounds(jnp.asarray(hidden), columns, jnp.asarray(direction), jnp.asarray(coefficient)))
    exact = hidden.astype(np.float64) @ head.T.astype(np.float64) + bias - np.outer(coefficient, direction)
    assert (bounds >= exact).all()
    norms = np.outer(np.linalg.norm(hidden.astype(np.float64), axis=1), np.linalg.norm(head.astype(np.float64), axis=1))
    # Both roundings of relative error at most 2^-9, in the worst case on both sides, and the bias column's 2^-8.
    assert (bounds - exact <= 2.0**-7 * (1.01 * norms + np.abs(bias))).all()


def test_round_up_never_rounds_down_and_never_two_steps():
    numbers = np.array(
        [0.0, 1e-39, 1.0, 1.0000001, -1.0000001, -1.0, -3.14159, 3.14159, 2.9e38, np.inf, -np.inf], np.float32
    )
    rounded = np.asarray(round_up(jnp.asarray(numbers)).astype(jnp.float32))
    assert (rounded >= numbers).all()
    finite = np.abs(numbers) > 1e-37
    np.testing.assert_allclose(rounded[finite], numbers[finite], rtol=2.0**-7)
    assert np.isnan(round_up(jnp.array([jnp.nan]))[0])


@pytest.mark.parametrize("k", [10, 100])
def test_realistic_texts_are_certified(k):
    hidden, head = cases.realistic(40, 96, 9000)
    result = aligned_topk(jnp.asarray(hidden), jnp.asarray(head), k, implementation="screened")
    assert not result.redone.any()
    assert_close(result, aligned_topk(jnp.asarray(hidden), jnp.asarray(head), k, implementation="reference"), rtol=3e-6)


def test_adversarial_rows_fail_the_certificate_and_are_redone():
    rows = cases.adversarial(6001)
    hidden, head = cases.designed(np.stack(list(rows.values())))
    result = aligned_topk(jnp.asarray(hidden), jnp.asarray(head), 100, implementation="screened")
    redone = dict(zip(rows, np.asarray(result.redone).tolist(), strict=True))
    # No bound can tell equal logits, or logits closer than bfloat16's rounding, apart.
    for name in ("all equal", "few values", "ascending", "all zero, signs mixed", "winners a float apart"):
        assert redone[name], name
    assert_same(result, aligned_topk(jnp.asarray(hidden), jnp.asarray(head), 100, implementation="reference"))


def test_every_row_may_fail():
    hidden, head = cases.integers(37, 4, 900)
    assert num_redone(hidden, np.tile(head[:3], (300, 1)), 20) == 37


def test_a_nan_counts_as_a_failure():
    hidden, head = cases.realistic(6, 24, 900)
    hidden[4, 3] = np.nan
    result = aligned_topk(jnp.asarray(hidden), jnp.asarray(head), 20, implementation="screened")
    np.testing.assert_array_equal(result.redone, np.arange(6) == 4)
    assert np.isnan(result.values[4]).all()


def test_an_infinite_row_of_the_head_is_a_candidate_like_others():
    hidden, head = cases.integers(5, 4, 900, largest=300)
    head[33] = np.inf
    hidden = np.abs(hidden) + 1
    assert num_redone(hidden, head, 20) == 0


def test_when_fewer_tokens_than_k_may_be_selected_all_is_redone():
    hidden, head = cases.integers(5, 4, 900)
    assert num_redone(hidden, head, 20, mask=jnp.arange(900) < 7) == 5


def test_every_token_scored_exactly_needs_no_certificate():
    hidden, head = cases.integers(5, 4, 50)
    assert num_redone(hidden, head, 20) == 0


@pytest.mark.parametrize("implementation", ["xla", "screened"])
def test_a_prepared_head_gives_the_same_bits(implementation):
    hidden, head = map(jnp.asarray, cases.realistic(5, 24, 3000))
    rng = np.random.default_rng(1)
    bias, mask = jnp.asarray(rng.standard_normal(3000), jnp.float32), jnp.asarray(rng.random(3000) < 0.8)
    plain = aligned_topk(hidden, head, 10, bias=bias, mask=mask, implementation=implementation)
    prepared = prepare_head(head, bias=bias, mask=mask, implementation=implementation)
    result = aligned_topk(hidden, prepared, 10, implementation=implementation)
    np.testing.assert_array_equal(result.indices, plain.indices)
    np.testing.assert_array_equal(result.values, plain.values)


def test_a_prepared_direction_is_what_shifted_texts_decode_to():
    hidden, head = map(jnp.asarray, cases.realistic(5, 24, 3000))
    direction = jnp.asarray(np.random.default_rng(1).standard_normal(24), jnp.float32)
    coefficient = jnp.arange(5.0)
    result = aligned_topk(
        hidden, prepare_head(head, direction=direction, implementation="screened"), 10, shift=coefficient
    )
    moved = hidden - coefficient[:, None] * direction[None, :]
    assert_close(result, aligned_topk(moved, head, 10, implementation="reference"), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda head: aligned_topk(head, prepare_head(head), 1, bias=jnp.zeros(8)), "give them to prepare_head"),
        (lambda head: aligned_topk(head, prepare_head(head), 1, shift=jnp.zeros(8)), "prepared for no direction"),
        (lambda head: prepare_head(head, direction=jnp.zeros(8)), r"direction has shape \(8,\).*\(3,\)"),
        (lambda head: prepare_head(head, mask=jnp.zeros(3, bool)), r"mask has shape \(3,\).*\(8,\)"),
        (lambda head: prepare_head(head[0]), r"head has shape \(3,\)"),
    ],
)
def test_misuse_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros((8, 3)))
