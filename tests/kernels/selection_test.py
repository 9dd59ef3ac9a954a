"""Selection among logits that are there: both forms are lax.top_k's order, and XLA recognises them as selections."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.kernels import aligned_topk
from keytokens.kernels.selection import by_threshold, exact_topk, one_stage, two_stages
from tests.kernels import cases


@pytest.mark.parametrize("form", [one_stage, two_stages, by_threshold, exact_topk])
@pytest.mark.parametrize("vocabulary", [3200, 3217])
def test_equals_a_stable_sort(form, vocabulary):
    logits = np.stack(list(cases.adversarial(vocabulary).values()))
    logits[:, ::9] = -np.inf
    order = np.argsort(-logits, axis=1, kind="stable")[:, :90]
    values, indices = form(jnp.asarray(logits), 90)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(values, np.take_along_axis(logits, order, 1))


@pytest.mark.parametrize("form", [one_stage, two_stages, by_threshold])
@pytest.mark.parametrize("place", [0, 1000, 3216])
@pytest.mark.parametrize("nan", [np.nan, -np.nan])
def test_a_nan_comes_first_wherever_it_stands(form, place, nan):
    logits = np.zeros((2, 3217), np.float32)
    logits[0, place] = nan
    values, _ = form(jnp.asarray(logits), 5)
    np.testing.assert_array_equal(np.isnan(values[:, 0]), [True, False])


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="elsewhere lax.top_k of k > 16 is a sort")
@pytest.mark.parametrize("implementation", ["xla", "screened"])
@pytest.mark.parametrize("vocabulary", [2000, 9000])
def test_logits_are_not_sorted_on_cpu(implementation, vocabulary):
    """A slice of a top_k's result hides it from XLA, and what stays is a sort of all logits: 20 times the time."""

    def select(hidden, head):
        return aligned_topk(hidden, head, 20, implementation=implementation)

    shapes = (jax.ShapeDtypeStruct((9, 8), jnp.float32), jax.ShapeDtypeStruct((vocabulary, 8), jnp.float32))
    program = jax.jit(select).lower(*shapes).compile().as_text()
    assert 'custom_call_target="TopK"' in program
    widths = [int(width) for width in re.findall(r"\[\d+,(\d+)\]\S* sort\(", program)]
    assert max(widths, default=0) <= 2 * 20 + 32  # ids of groups and of candidates
