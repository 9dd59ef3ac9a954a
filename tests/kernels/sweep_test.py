"""The sweep gives what decoding every shifted embedding by itself gives."""

import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.kernels import TopK, aligned_topk, topk_sweep
from tests.kernels.agreement import assert_close

COEFFICIENTS = np.array([[0.0, 0.0], [2.5, 0.0], [-1.0, 3.0]], np.float32)


@pytest.mark.parametrize(("rows", "vocabulary", "k"), [(1, 50, 50), (130, 700, 7), (9, 2000, 3)])
@pytest.mark.parametrize("extras", [{}, {"bias": True, "scale": 0.5, "softcap": 30.0}])
def test_every_point_is_a_selection_of_its_own(rows, vocabulary, k, extras):
    rng = np.random.default_rng(0)
    hidden, head, directions = (
        jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((rows, 24), (vocabulary, 24), (2, 24))
    )
    options = dict(extras)
    if options.pop("bias", False):
        options["bias"] = jnp.asarray(rng.normal(size=vocabulary), jnp.float32)
    swept = topk_sweep(hidden, head, k, directions=directions, coefficients=jnp.asarray(COEFFICIENTS), **options)
    assert swept.values.shape == (rows, 3, k) and swept.logsumexp.shape == (rows, 3)
    for point, coefficient in enumerate(COEFFICIENTS):
        shifted = hidden + jnp.asarray(coefficient @ np.asarray(directions))[None, :]
        expected = aligned_topk(shifted, head, k, with_logsumexp=True, implementation="reference", **options)
        found = TopK(swept.values[:, point], swept.indices[:, point], swept.logsumexp[:, point])
        # The sum is rounded after the head in one, before it in the other; logits of size 15 that nearly cancel.
        np.testing.assert_allclose(found.values, expected.values, atol=2e-5)
        np.testing.assert_allclose(found.logsumexp, expected.logsumexp, rtol=1e-5)
        if not extras:
            assert_close(found, expected, rtol=1e-3)


def test_ties_go_to_the_lower_id_at_every_point():
    head = jnp.ones((40, 3), jnp.float32)
    swept = topk_sweep(
        jnp.ones((2, 3), jnp.float32),
        head,
        4,
        directions=jnp.ones((1, 3), jnp.float32),
        coefficients=jnp.array([[0.0], [1.5]], jnp.float32),
    )
    np.testing.assert_array_equal(swept.indices, np.broadcast_to(np.arange(4), (2, 2, 4)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"directions": jnp.ones((1, 4))}, r"directions has shape \(1, 4\); it must be \[J, D=3\]"),
        ({"coefficients": jnp.ones((2, 2))}, r"coefficients has shape \(2, 2\); it must be \[L >= 1, J=1\]"),
        ({"coefficients": jnp.ones((0, 1))}, r"coefficients has shape \(0, 1\); it must be \[L >= 1, J=1\]"),
    ],
)
def test_shapes_that_do_not_fit_are_named(changes, message):
    arguments = {"directions": jnp.ones((1, 3)), "coefficients": jnp.ones((2, 1))}
    with pytest.raises(ValueError, match=message):
        topk_sweep(jnp.ones((2, 3)), jnp.ones((5, 3)), 2, **{**arguments, **changes})
