"""`aligned_topk` by every implementation: equal to the reference, deterministic row by row, and clear about misuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.kernels import TopK, aligned_topk, prepare_head
from tests.cpu_library import needs_cpu_library
from tests.kernels import cases
from tests.kernels.agreement import INTEGERS_RTOL, assert_close, assert_same

IMPLEMENTATIONS = ["xla", "screened", pytest.param("cpu_ffi", marks=needs_cpu_library)]
WITHOUT_LOGSUMEXP = {"screened"}
LOGSUMEXP_RTOL = {"cpu_ffi": INTEGERS_RTOL}
by_every_implementation = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
ROWS = 9


def select(implementation, hidden, head, k, **options) -> TopK:
    """With the logsumexp where the implementation has it."""
    options.setdefault("with_logsumexp", implementation not in WITHOUT_LOGSUMEXP)
    return aligned_topk(jnp.asarray(hidden), jnp.asarray(head), k, implementation=implementation, **options)


def select_both(implementation, *arguments, **options) -> tuple[TopK, TopK]:
    result = select(implementation, *arguments, **options)
    options["with_logsumexp"] = result.logsumexp is not None
    return result, select("reference", *arguments, **options)


def assert_both_same(implementation, *arguments, **options) -> None:
    result, expected = select_both(implementation, *arguments, **options)
    assert_same(result, expected, logsumexp_rtol=LOGSUMEXP_RTOL.get(implementation, 1e-6))


def terms(vocabulary: int, seed: int = 1) -> dict[str, dict]:
    rng = np.random.default_rng(seed)
    bias, direction = (jnp.asarray(rng.integers(-3, 4, vocabulary), jnp.float32) for _ in range(2))
    each = {
        "plain": {},
        "bias": {"bias": bias},
        "bias in bfloat16": {"bias": bias.astype(jnp.bfloat16)},
        "shift": {"shift": (jnp.asarray(rng.integers(-3, 4, ROWS), jnp.float32), direction)},
        "mask": {"mask": jnp.asarray(rng.random(vocabulary) < 0.7)},
        "nothing may be selected": {"mask": jnp.zeros(vocabulary, bool)},
        "scale": {"scale": 0.25},
        "soft-cap": {"softcap": 6.0},
        "soft-cap that saturates": {"softcap": 0.01},
        "log1p": {"log1p": True},
    }
    together = ("bias", "shift", "mask", "scale", "soft-cap")
    return each | {"everything": {name: value for key in together for name, value in each[key].items()}}


@by_every_implementation
@pytest.mark.parametrize(
    ("rows", "dim", "vocabulary", "k", "dtype"),
    [
        (1, 1, 1, 1, jnp.float32),
        (2, 5, 61, 61, jnp.bfloat16),
        (9, 31, 1000, 100, jnp.float32),
        (130, 7, 333, 1, jnp.bfloat16),
        (0, 4, 10, 3, jnp.float32),
    ],
)
def test_equals_the_reference_on_ties(implementation, rows, dim, vocabulary, k, dtype):
    hidden, head = (jnp.asarray(array, dtype) for array in cases.integers(rows, dim, vocabulary))
    result, expected = select_both(implementation, hidden, head, k)
    assert (result.values.dtype, result.indices.dtype) == (jnp.float32, jnp.int32)
    assert_same(result, expected, logsumexp_rtol=LOGSUMEXP_RTOL.get(implementation, 1e-6))


@pytest.mark.parametrize("term", terms(2000).values(), ids=terms(2000).keys())
@pytest.mark.parametrize("implementation", [name for name in IMPLEMENTATIONS if name != "screened"])
def test_equals_the_reference_with_each_term_of_the_logits(implementation, term):
    hidden, head = cases.integers(ROWS, 8, 2000)
    assert_both_same(implementation, hidden, head, 50, **term)


@by_every_implementation
@pytest.mark.parametrize("k", [1, 50, 2000])
def test_equals_the_reference_with_all_terms_together(implementation, k):
    hidden, head = cases.integers(ROWS, 8, 2000)
    assert_both_same(implementation, hidden, head, k, **terms(2000)["everything"])


@by_every_implementation
@pytest.mark.parametrize("k", [15, 700])  # of 6,001 tokens: two stages up to k=50, one above
def test_equals_the_reference_on_adversarial_logits(implementation, k):
    hidden, head = cases.designed(np.stack(list(cases.adversarial(6001).values())))
    assert_same(*select_both(implementation, hidden, head, k, with_logsumexp=False))


@by_every_implementation
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_agrees_with_the_reference_at_a_realistic_scale(implementation, dtype):
    hidden, head = (jnp.asarray(array, dtype) for array in cases.realistic(37, 96, 7001))
    result, expected = select_both(implementation, hidden, head, 16)
    # 96 float32 products in two orders of summation.
    assert_close(result, expected, rtol=3e-6)
    if result.logsumexp is not None:
        np.testing.assert_allclose(result.logsumexp, expected.logsumexp, rtol=LOGSUMEXP_RTOL.get(implementation, 3e-6))


@by_every_implementation
def test_mixed_dtypes_mean_the_exact_product(implementation):
    hidden, head = cases.realistic(5, 16, 400)
    rounded = jnp.asarray(head, jnp.bfloat16)
    expected = select("reference", hidden, rounded.astype(jnp.float32), 9)
    assert_close(select(implementation, hidden, rounded, 9), expected, rtol=1e-6)


@pytest.mark.parametrize("implementation", ["reference", *IMPLEMENTATIONS])
def test_a_row_with_a_nan_is_flagged_and_touches_no_other(implementation):
    hidden, head = cases.integers(12, 4, 500)
    clean = select(implementation, hidden, head, 30)
    hidden[3, 2] = np.nan
    hidden[7, 1:3] = np.inf, -np.inf
    hidden[11, 0] = -np.nan
    result = select(implementation, hidden, head, 30)
    broken = np.isin(np.arange(12), (3, 7, 11))
    assert np.isnan(result.values[broken]).all()
    assert result.logsumexp is None or np.isnan(result.logsumexp[broken]).all()
    assert (np.asarray(result.indices)[broken] == -1).all()
    for before, after in zip(clean, result, strict=True):
        if before is not None:
            np.testing.assert_array_equal(np.asarray(before)[~broken], np.asarray(after)[~broken])


@pytest.mark.parametrize("implementation", ["reference", *IMPLEMENTATIONS])
def test_a_nan_of_a_masked_token_harms_nobody(implementation):
    hidden, head = cases.integers(5, 4, 100)
    head[17] = np.nan
    result = select(implementation, hidden, head, 99, mask=jnp.arange(100) != 17)
    assert not np.isnan(result.values).any() and not (np.asarray(result.indices) == 17).any()


@by_every_implementation
@pytest.mark.parametrize("k", [5, 100])
def test_infinite_logits_keep_their_place(implementation, k):
    hidden, head = cases.integers(5, 4, 100)
    bias = jnp.zeros(100).at[jnp.array([9, 40])].set(jnp.array([-jnp.inf, jnp.inf]))
    assert_both_same(implementation, hidden, head, k, bias=bias, scale=2.0)


@by_every_implementation
def test_when_few_logits_are_finite_the_rest_follow_by_id(implementation):
    hidden, head = cases.integers(5, 4, 3000)
    bias = jnp.where(jnp.arange(3000) % 211 == 0, 0.0, -jnp.inf)
    assert_both_same(implementation, hidden, head, 40, bias=bias)


@by_every_implementation
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_bits_of_a_row_depend_on_nobody_else(implementation, dtype):
    hidden, head = (jnp.asarray(array, dtype) for array in cases.realistic(300, 64, 3001))
    whole = select(implementation, hidden, head, 20)
    for rows in ([5], list(range(299, 30, -1))):
        part = select(implementation, hidden[jnp.array(rows)], head, 20)
        for every, some in zip(whole, part, strict=True):
            if every is not None:
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
        (lambda: aligned_topk(H, E, 2.7), "k=2.7.*whole number"),
        (lambda: aligned_topk(H[0], E, 1), r"hidden has shape \(6,\)"),
        (lambda: aligned_topk(H, E.T, 1), "differ in D.*transposed"),
        (lambda: aligned_topk(H[:, :0], E[:, :0], 1), "D, its last axis, must be at least 1"),
        (lambda: aligned_topk(H.astype(jnp.float16), E, 1), "hidden is float16.*cast"),
        (lambda: aligned_topk(H, E.astype(jnp.int8), 1), "head is int8"),
        (lambda: aligned_topk(H, E, 1, bias=VECTOR[:9]), r"bias has shape \(9,\).*\(10,\)"),
        (lambda: aligned_topk(H, E, 1, mask=VECTOR), "mask is float32.*bool"),
        (lambda: aligned_topk(H, E, 1, shift=(VECTOR, VECTOR)), r"shift\[0\] has shape \(10,\).*\(4,\)"),
        (lambda: aligned_topk(H, E, 1, shift=(VECTOR,)), "shift has 1 parts"),
        (lambda: aligned_topk(H, E, 1, shift=VECTOR), "prepared for no direction"),
        (lambda: aligned_topk(H, E, 1, scale=-1.0), "scale=-1.0.*positive"),
        (lambda: aligned_topk(H, E, 1, scale=float("nan")), "scale=nan"),
        (lambda: aligned_topk(H, E, 1, scale=1e39), r"scale=1e\+39.*finite in float32"),
        (lambda: aligned_topk(H, E, 1, scale=1e-46), "scale=1e-46.*positive.*in float32"),
        (lambda: aligned_topk(H, E, 1, softcap=0.0), "softcap=0.0"),
        (lambda: aligned_topk(H, E, 1, softcap=1e39), r"softcap=1e\+39"),
        (lambda: aligned_topk(H, E, 1, implementation="fastest"), "'fastest' is not one of 'reference'"),
        (lambda: prepare_head(E, implementation="screend"), "'screend' is not one of 'reference'"),
        (lambda: aligned_topk(H, E, 1, implementation="pallas_tpu"), "unproven.*never run.*'unproven:pallas_tpu'"),
        (lambda: aligned_topk(H, E, 1, implementation="mosaic_gpu"), "unproven.*never seen.*'unproven:mosaic_gpu'"),
        (lambda: aligned_topk(H, E, 1, implementation="unproven:mosaic_gpu"), "'mosaic_gpu' needs a gpu.*cpu"),
        (lambda: aligned_topk(H, E, 1, implementation="screened", with_logsumexp=True), "every logit.*'xla'"),
    ],
)
def test_misuse_is_refused_before_any_work(call, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(call)
