"""The TPU kernel in Pallas' interpreter: equal to the reference, and its certificate fails exactly where it must."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.kernels import TopK
from keytokens.kernels.bins import Bins, bins_for
from keytokens.kernels.head import PreparedHead
from keytokens.kernels.logits import Terms
from keytokens.kernels.pallas_tpu import pallas_tpu_topk
from keytokens.kernels.reference import reference_topk
from keytokens.kernels.result import Options
from tests.kernels import cases
from tests.kernels.agreement import assert_close, assert_same

# Fewer bins than on the device: the interpreter compiles one comparison network per 128 of them.
BINS = Bins(256, 4)
NO_TERMS = Terms()


@functools.partial(jax.jit, static_argnums=0)
def interpreted(options: Options, hidden, head: PreparedHead, coefficient) -> TopK:
    return pallas_tpu_topk(hidden, head, coefficient, options, interpret=True, block_rows=16, bins=BINS)


def select_both(
    hidden, head, k, *, coefficient=None, dtype=jnp.float32, terms=NO_TERMS, **options
) -> tuple[TopK, TopK]:
    hidden, prepared = jnp.asarray(hidden, dtype), PreparedHead(jnp.asarray(head, dtype), terms, None)
    checked = Options(k, **options)
    return interpreted(checked, hidden, prepared, coefficient), reference_topk(hidden, prepared, coefficient, checked)


@pytest.mark.aot
@pytest.mark.parametrize(
    ("rows", "vocabulary", "k", "dtype"), [(1, 200, 10, jnp.float32), (17, 3001, 50, jnp.bfloat16)]
)
def test_equals_the_reference_on_ties(rows, vocabulary, k, dtype):
    hidden, head = cases.integers(rows, 24, vocabulary, largest=50)
    assert_same(*select_both(hidden, head, k, dtype=dtype, with_logsumexp=True))


def test_certifies_realistic_texts():
    hidden, head = cases.realistic(20, 96, 9001)
    result, expected = select_both(hidden, head, 10, with_logsumexp=True)
    assert_close(result, expected, rtol=3e-6)
    np.testing.assert_allclose(result.logsumexp, expected.logsumexp, rtol=3e-6)
    assert not result.redone.any()


@pytest.mark.aot
def test_every_term_of_the_logits():
    hidden, head = cases.integers(9, 8, 3001, largest=50)
    rng = np.random.default_rng(1)
    whole = lambda n: jnp.asarray(rng.integers(-9, 10, n), jnp.float32)  # noqa: E731
    terms = Terms(bias=whole(3001), direction=whole(3001), mask=jnp.asarray(rng.random(3001) < 0.7))
    options = {"scale": 0.25, "softcap": 30.0, "with_logsumexp": True}
    assert_same(*select_both(hidden, head, 40, terms=terms, coefficient=whole(9), **options))


@pytest.mark.aot
def test_adversarial_rows_are_redone_where_a_bin_overflows():
    k = 60
    rows = cases.adversarial(5001, stride=BINS.num_bins)
    hidden, head = cases.designed(np.stack(list(rows.values())))
    result, expected = select_both(hidden, head, k)
    assert_same(result, expected)
    redone = dict(zip(rows, np.asarray(result.redone).tolist(), strict=True))
    assert redone["winners one stride apart"] and redone["all equal"] and redone["few values"]
    assert not redone["winners side by side"] and not redone["ascending"] and not redone["descending"]


@pytest.mark.aot
def test_a_nan_is_redone_and_flagged():
    hidden, head = cases.realistic(6, 24, 1500)
    hidden[4, 3] = np.nan
    result, expected = select_both(hidden, head, 16, with_logsumexp=True)
    np.testing.assert_array_equal(np.isnan(result.values[:, 0]), np.arange(6) == 4)
    np.testing.assert_array_equal(np.asarray(result.indices)[4], -1)
    assert bool(result.redone[4]) and np.isnan(result.logsumexp[4])
    assert_close(
        TopK(result.values[:4], result.indices[:4]), TopK(expected.values[:4], expected.indices[:4]), rtol=3e-6
    )


@pytest.mark.aot
def test_an_infinite_logit_is_redone_and_first():
    hidden, head = cases.integers(3, 8, 700)
    terms = Terms(bias=jnp.zeros(700).at[77].set(jnp.inf))
    result, expected = select_both(hidden, head, 10, terms=terms, with_logsumexp=True)
    assert_same(result, expected)
    assert result.redone.all()


@pytest.mark.aot
def test_fewer_selectable_tokens_than_k_are_redone():
    hidden, head = cases.integers(3, 8, 700)
    terms = Terms(mask=jnp.arange(700) < 5)
    result, expected = select_both(hidden, head, 10, terms=terms, with_logsumexp=True)
    assert_same(result, expected)
    assert result.redone.all()


@pytest.mark.parametrize("k", [1, 16, 17, 128, 256, 1000])
def test_there_are_more_kept_values_than_k(k):
    bins = bins_for(k)
    assert bins.num_bins * bins.levels >= 4 * k and bins.num_bins % 128 == 0


def test_too_large_a_k_is_refused():
    with pytest.raises(ValueError, match=r"k=1001.*at most 1000.*'xla'"):
        bins_for(1001)
