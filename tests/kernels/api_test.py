"""`aligned_topk` by every implementation: equal to the reference, deterministic row by row, and clear about misuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.kernels import TopK, aligned_topk
from tests.kernels import cases

IMPLEMENTATIONS = ["xla"]
ROWS = 9


def terms(vocabulary: int, seed: int = 1) -> dict[str, dict]:
    rng = np.random.default_rng(seed)
    whole = lambda n: jnp.asarray(rng.integers(-3, 4, n), jnp.float32)  # noqa: E731
    each = {
        "plain": {},
        "bias": {"bias": whole(vocabulary)},
        "bias in bfloat16": {"bias": whole(vocabulary).astype(jnp.bfloat16)},
        "shift": {"shift": (whole(ROWS), whole(vocabulary))},
        "mask": {"mask": jnp.asarray(rng.random(vocabulary) < 0.7)},
        "nothing may be selected": {"mask": jnp.zeros(vocabulary, bool)},
        "scale": {"scale": 0.25},
        "soft-cap": {"softcap": 6.0},
        "soft-cap that saturates": {"softcap": 0.01},
    }
    together = ("bias", "shift", "mask", "scale", "soft-cap")
    return each | {"everything": {name: value for key in together for name, value in each[key].items()}}


def assert_same(result: TopK, expected: TopK) -> None:
    """The same tokens in the same order; values to what float32's exp, log and tanh may differ by."""
    np.testing.assert_array_equal(result.indices, expected.indices)
    np.testing.assert_allclose(result.values, expected.values, rtol=1e-6)
    assert (result.logsumexp is None) == (expected.logsumexp is None)
    if expected.logsumexp is not None:
        np.testing.assert_allclose(result.logsumexp, expected.logsumexp, rtol=1e-6)


def assert_close(result: TopK, expected: TopK, *, rtol: float) -> None:
    """Values within `rtol`; tokens may differ only where the values leave their order open."""
    np.testing.assert_allclose(result.values, expected.values, rtol=rtol)
    for row in range(len(result.values)):
        tokens, wanted = (np.asarray(selection.indices[row]) for selection in (result, expected))
        assert len(set(tokens)) == len(tokens)
        differ = np.flatnonzero(tokens != wanted)
        gaps = np.abs(np.diff(np.asarray(expected.values[row]), append=-np.inf))
        near_tie = np.minimum(gaps, np.roll(gaps, 1)) <= 2 * rtol * np.abs(expected.values[row])
        near_tie[-1] = True  # the first token left out may be as near
        assert near_tie[differ].all()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(
    ("rows", "dim", "vocabulary", "k"),
    [
        (1, 1, 1, 1),
        (1, 3, 61, 7),
        (2, 5, 61, 61),
        (8, 16, 257, 1),
        (9, 31, 1000, 100),
        (130, 7, 333, 20),
        (0, 4, 10, 3),
    ],
)
def test_equals_the_reference_on_ties(implementation, dtype, rows, dim, vocabulary, k):
    hidden, head = (jnp.asarray(array, dtype) for array in cases.integers(rows, dim, vocabulary))
    expected = aligned_topk(hidden, head, k, implementation="reference", with_logsumexp=True)
    result = aligned_topk(hidden, head, k, implementation=implementation, with_logsumexp=True)
    assert (result.values.dtype, result.indices.dtype) == (jnp.float32, jnp.int32)
    assert_same(result, expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("k", [1, 50, 2000])
@pytest.mark.parametrize("term", terms(2000).values(), ids=terms(2000).keys())
def test_equals_the_reference_with_every_term_of_the_logits(implementation, term, k):
    hidden, head = map(jnp.asarray, cases.integers(ROWS, 8, 2000))
    expected = aligned_topk(hidden, head, k, implementation="reference", with_logsumexp=True, **term)
    result = aligned_topk(hidden, head, k, implementation=implementation, with_logsumexp=True, **term)
    assert_same(result, expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("k", [1, 40, 700])
@pytest.mark.parametrize("logits", cases.adversarial(6001).values(), ids=cases.adversarial(6001).keys())
def test_equals_the_reference_on_adversarial_logits(implementation, logits, k):
    hidden, head = map(jnp.asarray, cases.designed(np.where(np.isinf(logits), 0.0, logits).astype(np.float32)))
    bias = jnp.asarray(np.where(np.isinf(logits), logits, 0.0), jnp.float32)
    expected = aligned_topk(hidden, head, k, implementation="reference", bias=bias)
    assert_same(aligned_topk(hidden, head, k, implementation=implementation, bias=bias), expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_agrees_with_the_reference_at_a_realistic_scale(implementation, dtype):
    hidden, head = (jnp.asarray(array, dtype) for array in cases.realistic(37, 96, 7001))
    expected = aligned_topk(hidden, head, 64, implementation="reference", with_logsumexp=True)
    result = aligned_topk(hidden, head, 64, implementation=implementation, with_logsumexp=True)
    # 96 float32 products in two orders of summation.
    assert_close(result, expected, rtol=3e-6)
    np.testing.assert_allclose(result.logsumexp, expected.logsumexp, rtol=3e-6)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_mixed_dtypes_mean_the_exact_product(implementation):
    hidden, head = cases.realistic(5, 16, 400)
    mixed = aligned_topk(jnp.asarray(hidden), jnp.asarray(head, jnp.bfloat16), 9, implementation=implementation)
    widened = jnp.asarray(head, jnp.bfloat16).astype(jnp.float32)
    expected = aligned_topk(jnp.asarray(hidden), widened, 9, implementation="reference")
    assert_close(mixed, expected, rtol=1e-6)


@pytest.mark.parametrize("implementation", ["reference", *IMPLEMENTATIONS])
def test_a_row_with_a_nan_is_flagged_and_touches_no_other(implementation):
    hidden, head = cases.integers(12, 4, 500)
    clean = aligned_topk(jnp.asarray(hidden), jnp.asarray(head), 30, implementation=implementation, with_logsumexp=True)
    hidden[3, 2] = np.nan
    hidden[7, 1:3] = np.inf, -np.inf
    hidden[11, 0] = -np.nan
    result = aligned_topk(
        jnp.asarray(hidden), jnp.asarray(head), 30, implementation=implementation, with_logsumexp=True
    )
    broken = np.isin(np.arange(12), (3, 7, 11))
    assert np.isnan(result.values[broken]).all() and np.isnan(result.logsumexp[broken]).all()
    assert (np.asarray(result.indices)[broken] == -1).all()
    for before, after in zip(clean, result, strict=True):
        np.testing.assert_array_equal(np.asarray(before)[~broken], np.asarray(after)[~broken])


@pytest.mark.parametrize("implementation", ["reference", *IMPLEMENTATIONS])
def test_a_nan_of_a_masked_token_harms_nobody(implementation):
    hidden, head = cases.integers(5, 4, 100)
    head[17] = np.nan
    mask = jnp.arange(100) != 17
    result = aligned_topk(jnp.asarray(hidden), jnp.asarray(head), 99, implementation=implementation, mask=mask)
    assert not np.isnan(result.values).any() and not (np.asarray(result.indices) == 17).any()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_infinite_logits_keep_their_place(implementation):
    hidden, head = cases.integers(5, 4, 100)
    bias = jnp.zeros(100).at[jnp.array([9, 40])].set(jnp.array([-jnp.inf, jnp.inf]))
    for k in (5, 100):
        options = {"bias": bias, "with_logsumexp": True, "scale": 2.0}
        expected = aligned_topk(jnp.asarray(hidden), jnp.asarray(head), k, implementation="reference", **options)
        assert_same(
            aligned_topk(jnp.asarray(hidden), jnp.asarray(head), k, implementation=implementation, **options), expected
        )


@pytest.mark.parametrize("implementation", [None, *IMPLEMENTATIONS])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_bits_of_a_row_depend_on_nobody_else(implementation, dtype):
    hidden, head = (jnp.asarray(array, dtype) for array in cases.realistic(300, 64, 3001))
    whole = aligned_topk(hidden, head, 20, implementation=implementation, with_logsumexp=True)
    for rows in ([0], [5, 299, 17], list(range(8)), list(range(9)), list(range(100, 229)), list(range(299, 0, -1))):
        part = aligned_topk(hidden[jnp.array(rows)], head, 20, implementation=implementation, with_logsumexp=True)
        for every, some in zip(whole, part, strict=True):
            np.testing.assert_array_equal(np.asarray(every)[rows], some)


def test_runs_inside_an_outer_jit():
    hidden, head = map(jnp.asarray, cases.integers(6, 8, 120))
    mask = jnp.arange(120) % 3 != 0
    inside = jax.jit(lambda *arrays: aligned_topk(arrays[0], arrays[1], 7, mask=arrays[2]))(hidden, head, mask)
    assert_same(inside, aligned_topk(hidden, head, 7, mask=mask, implementation="reference"))


H, E, VECTOR = jnp.zeros((4, 6)), jnp.zeros((10, 6)), jnp.zeros(10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: aligned_topk(H, E, 0), "k=0.*V=10"),
        (lambda: aligned_topk(H, E, 11), "k=11.*V=10"),
        (lambda: aligned_topk(H[0], E, 1), r"hidden has shape \(6,\)"),
        (lambda: aligned_topk(H, E.T, 1), "differ in D.*transposed"),
        (lambda: aligned_topk(H.astype(jnp.float16), E, 1), "hidden is float16.*cast"),
        (lambda: aligned_topk(H, E.astype(jnp.int8), 1), "head is int8"),
        (lambda: aligned_topk(H, E, 1, bias=VECTOR[:9]), r"bias has shape \(9,\).*\(10,\)"),
        (lambda: aligned_topk(H, E, 1, mask=VECTOR), "mask is float32.*bool"),
        (lambda: aligned_topk(H, E, 1, shift=(VECTOR, VECTOR)), r"shift\[0\] has shape \(10,\).*\(4,\)"),
        (lambda: aligned_topk(H, E, 1, shift=VECTOR), "pair"),
        (lambda: aligned_topk(H, E, 1, scale=-1.0), "scale=-1.0.*positive"),
        (lambda: aligned_topk(H, E, 1, scale=float("nan")), "scale=nan"),
        (lambda: aligned_topk(H, E, 1, softcap=0.0), "softcap=0.0"),
        (lambda: aligned_topk(H, E, 1, implementation="fastest"), "'fastest' is not one of 'reference'"),
    ],
)
def test_misuse_is_refused_before_any_work(call, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(call)
