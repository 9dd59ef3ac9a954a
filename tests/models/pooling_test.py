"""Poolings against values worked out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.models.pooling import pool

# One text of three tokens, the first not pooled, two positions of padding with values that must not matter.
STATES = np.array([[1.0, -4.0], [2.0, 0.0], [6.0, 3.0], [99.0, np.nan], [np.inf, -99.0]], np.float32)
MASK = np.array([True, True, True, False, False])
POOLED = np.array([False, True, True, True, False])
EXPECTED = {
    "mean": [4.0, 1.5],
    # Positions count from the text's first token, pooled or not: weights 2 and 3.
    "weightedmean": [(2 * 2 + 3 * 6) / 5, 9 / 5],
    "lasttoken": [6.0, 3.0],
    "cls": [1.0, -4.0],
    "mask": [4.0, 1.5],
    "max": [6.0, 3.0],
    "mean_sqrt_len_tokens": [8 / 2**0.5, 3 / 2**0.5],
}


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("pooling", EXPECTED)
def test_by_hand_wherever_the_padding_is(pooling, shift):
    batch = [jnp.asarray(np.roll(values, shift, axis=0))[None] for values in (STATES, MASK, POOLED)]
    np.testing.assert_allclose(pool(*batch, pooling=pooling)[0], EXPECTED[pooling], rtol=1e-6)


@pytest.mark.parametrize("pooling", EXPECTED)
def test_padding_alone_is_zero_and_a_text_without_pooled_tokens_is_nan(pooling):
    states = jnp.ones((2, 3, 2))
    mask = jnp.array([[False] * 3, [True] * 3])
    found = np.asarray(pool(states, mask, jnp.zeros((2, 3), bool), pooling=pooling))
    np.testing.assert_array_equal(found[0], 0)
    assert np.isnan(found[1]).all() or pooling == "cls"


def test_bfloat16_states_are_pooled_in_float32():
    states = jnp.full((1, 4096, 1), 1.0, jnp.bfloat16)
    everything = jnp.ones((1, 4096), bool)
    assert pool(states, everything, everything, pooling="mean")[0, 0] == 1.0
    assert pool(states, everything, everything, pooling="mean_sqrt_len_tokens")[0, 0] == 64.0
