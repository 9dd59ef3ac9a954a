"""Run by sharded_test.py with eight virtual CPU devices: the sharded head against the reference on one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

from keytokens.kernels import TopK, aligned_topk, shard_head, sharded_topk
from tests.cpu_library import needs_cpu_library
from tests.kernels import cases
from tests.kernels.agreement import INTEGERS_RTOL, assert_close, assert_same


def mesh_of(shape: tuple[int, ...]) -> Mesh:
    names = ("tokens",) if len(shape) == 1 else ("texts", "tokens")
    return Mesh(np.array(jax.devices()).reshape(shape), names)


EIGHT = mesh_of((8,))


def both(hidden, head, k, *, mesh=EIGHT, implementation=None, bias=None, mask=None, **options) -> tuple[TopK, TopK]:
    split = shard_head(head, mesh, "tokens", bias=bias, mask=mask, implementation=implementation)
    assert len(split.prepared.weight.addressable_shards) == 8
    result = sharded_topk(hidden, split, k, implementation=implementation, **options)
    return result, aligned_topk(hidden, head, k, bias=bias, mask=mask, implementation="reference", **options)


@pytest.mark.parametrize("shape", [(8,), (2, 4)])
@pytest.mark.parametrize(("vocabulary", "k"), [(1000, 1), (1003, 40), (999, 130), (97, 97)])
def test_equals_one_device_on_ties(shape, vocabulary, k):
    hidden, head = map(jnp.asarray, cases.integers(11, 6, vocabulary))
    assert_same(*both(hidden, head, k, mesh=mesh_of(shape), with_logsumexp=True), logsumexp_rtol=INTEGERS_RTOL)


@needs_cpu_library
@pytest.mark.parametrize(("vocabulary", "k"), [(1000, 1), (1003, 40), (97, 97), (126, 5)])
def test_panels_of_packed_tokens_are_not_split(vocabulary, k):
    hidden, head = map(jnp.asarray, cases.integers(11, 6, vocabulary))
    assert_same(*both(hidden, head, k, implementation="cpu_ffi", with_logsumexp=True), logsumexp_rtol=INTEGERS_RTOL)


@pytest.mark.parametrize("k", [30, 1003])
def test_equals_one_device_with_bias_mask_scale_and_softcap(k):
    hidden, head = map(jnp.asarray, cases.integers(11, 6, 1003))
    rng = np.random.default_rng(1)
    bias, mask = jnp.asarray(rng.integers(-3, 4, 1003), jnp.float32), jnp.asarray(rng.random(1003) < 0.6)
    options = {"bias": bias, "mask": mask, "scale": 0.25, "softcap": 0.5, "with_logsumexp": True}
    assert_same(*both(hidden, head, k, **options), logsumexp_rtol=INTEGERS_RTOL)
    assert_same(*both(hidden, head, k, bias=bias, mask=mask, log1p=True))


def test_screening_works_on_shards_and_counts_its_failures():
    hidden, head = map(jnp.asarray, cases.realistic(11, 24, 4003))
    result, expected = both(hidden, head, 20, implementation="screened")
    assert_close(result, expected, rtol=3e-6)
    assert not result.redone.any()
    tied = jnp.tile(head[:1], (4003, 1))
    assert both(hidden, tied, 20, implementation="screened")[0].redone.all()


def test_a_nan_in_one_shard_flags_the_row():
    hidden, head = map(jnp.asarray, cases.integers(5, 6, 1003))
    hidden, head = hidden.at[:, 0].set(1.0).at[2, 1].set(0.0), head.at[700, 1].set(jnp.inf)
    result, expected = both(hidden, head, 8, with_logsumexp=True)
    assert np.isnan(result.values[2]).all() and (np.asarray(result.indices[2]) == -1).all()
    assert_same(result, expected)


def test_a_direction_is_removed():
    hidden, head = map(jnp.asarray, cases.integers(5, 6, 1003))
    direction, coefficient = jnp.arange(6.0) - 3, jnp.arange(5.0)
    result = sharded_topk(hidden, shard_head(head, EIGHT, "tokens", direction=direction), 9, shift=coefficient)
    assert_same(result, aligned_topk(hidden - coefficient[:, None] * direction[None, :], head, 9))


def test_a_mesh_with_explicit_axes_will_do():
    """What jax.make_mesh makes by default."""
    mesh = jax.make_mesh((8,), ("tokens",), axis_types=(AxisType.Explicit,))
    hidden, head = map(jnp.asarray, cases.integers(11, 6, 1003))
    assert_same(*both(hidden, head, 40, mesh=mesh, with_logsumexp=True), logsumexp_rtol=INTEGERS_RTOL)


def test_misuse_is_refused():
    hidden, head = jnp.zeros((2, 3)), jnp.zeros((10, 3))
    with pytest.raises(ValueError, match=r"'rows' is not an axis.*'tokens'"):
        shard_head(head, EIGHT, "rows")
    with pytest.raises(ValueError, match="'cpu' is not one of 'reference'"):
        shard_head(head, EIGHT, "tokens", implementation="cpu")
    with pytest.raises(ValueError, match=r"k=11.*V=10"):
        sharded_topk(hidden, shard_head(head, EIGHT, "tokens"), 11)
    with pytest.raises(ValueError, match="for no direction"):
        sharded_topk(hidden, shard_head(head, EIGHT, "tokens"), 1, shift=jnp.zeros(2))
