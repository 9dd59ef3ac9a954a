"""The reference against plain numpy float64: the tie rule, every term of the logits, and what is flagged."""

import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.kernels import TopK, aligned_topk
from tests.kernels import cases


def numpy_topk(hidden, head, k, *, bias=0.0, shift=None, mask=None, scale=1.0, softcap=None, log1p=False) -> TopK:
    """Float64 throughout; a stable descending argsort of everything."""
    logits = hidden.astype(np.float64) @ head.astype(np.float64).T + bias
    if shift is not None:
        logits -= np.outer(shift[0], shift[1])
    if mask is not None:
        logits[:, ~mask] = -np.inf
    indices = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    scaled = logits * scale
    if softcap is not None:
        scaled = np.where(np.isneginf(scaled), scaled, softcap * np.tanh(scaled / softcap))
    values = np.take_along_axis(scaled, indices, 1)
    return TopK(np.log1p(values.clip(0)) if log1p else values, indices, np.logaddexp.reduce(scaled, axis=1))


def reference(hidden, head, k, **options) -> TopK:
    as_jax = {name: _as_jax(value) for name, value in options.items()}
    return aligned_topk(jnp.asarray(hidden), jnp.asarray(head), k, implementation="reference", **as_jax)


def _as_jax(value):
    if isinstance(value, np.ndarray):
        return jnp.asarray(value)
    return tuple(map(jnp.asarray, value)) if isinstance(value, tuple) else value


VOCABULARY = 61
RNG = np.random.default_rng(1)
TERMS = {
    "plain": {},
    "bias": {"bias": RNG.integers(-4, 5, VOCABULARY).astype(np.float32)},
    "shift": {"shift": tuple(RNG.integers(-3, 4, n).astype(np.float32) for n in (9, VOCABULARY))},
    "mask": {"mask": RNG.random(VOCABULARY) < 0.7},
    "scale": {"scale": 0.25},
    "soft-cap": {"softcap": 6.0},
    "log1p": {"log1p": True},
}
TERMS["everything"] = {name: value for terms in TERMS.values() for name, value in terms.items()}


@pytest.mark.parametrize("k", [1, 7, VOCABULARY])
@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS.keys())
def test_equals_numpy_on_integers_so_every_tie_counts(terms, k):
    hidden, head = cases.integers(9, 5, VOCABULARY)
    expected = numpy_topk(hidden, head, k, **terms)
    result = reference(hidden, head, k, with_logsumexp=True, **terms)
    np.testing.assert_array_equal(result.indices, expected.indices)
    # The logits are exact; tanh and logsumexp round in float32.
    np.testing.assert_allclose(result.values, expected.values, rtol=1e-6)
    np.testing.assert_allclose(result.logsumexp, expected.logsumexp, rtol=1e-6)


def test_orders_designed_logits_as_numpy_does():
    hidden, head = cases.designed(np.stack(list(cases.adversarial(300).values())))
    np.testing.assert_array_equal(reference(hidden, head, 40).indices, numpy_topk(hidden, head, 40).indices)


def test_keeps_at_a_realistic_scale_what_float64_keeps():
    hidden, head = cases.realistic(16, 96, 5000)
    expected = numpy_topk(hidden, head, 50)
    result = reference(hidden, head, 50)
    # 96 float32 products; only neighbours closer than that may swap.
    np.testing.assert_allclose(result.values, expected.values, rtol=3e-6)
    assert np.mean(np.asarray(result.indices) == expected.indices) > 0.99


def test_a_saturated_softcap_makes_no_ties():
    hidden, head = cases.designed(np.array([[100.0, 300.0, 200.0, -100.0]]))
    result = reference(hidden, head, 3, softcap=1.0)
    np.testing.assert_array_equal(result.indices[0], [1, 2, 0])
    np.testing.assert_array_equal(result.values[0], [1.0, 1.0, 1.0])
