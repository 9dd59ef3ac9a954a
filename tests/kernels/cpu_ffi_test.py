"""The C++ screening beside what every implementation is held to (api_test): its certificate, its loops, its absence."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.kernels import TopK, aligned_topk, prepare_head
from keytokens.kernels.choice import choose
from keytokens.kernels.cpu_ffi import library
from keytokens.kernels.cpu_ffi.build import build
from keytokens.kernels.cpu_ffi.packing import pack_head, pack_texts
from keytokens.kernels.cpu_ffi.topk import cpu_ffi_topk
from keytokens.kernels.logits import Terms
from keytokens.kernels.result import Options
from tests.kernels import cases
from tests.kernels.agreement import assert_close, assert_same

built = pytest.mark.skipif(not library.LIBRARY.exists(), reason=f"not built: {library.BUILD_COMMAND}")


@functools.partial(jax.jit, static_argnums=(2, 3))
def screen(hidden, head, options: Options, portable: bool) -> TopK:
    return cpu_ffi_topk(hidden, head, None, options, portable=portable)


def test_the_rounding_is_bounded():
    hidden, head = cases.realistic(20, 95, 900)
    bias = np.random.default_rng(0).standard_normal(900).astype(np.float32)
    packed = pack_head(jnp.asarray(head), Terms(bias=jnp.asarray(bias)))
    texts = pack_texts(jnp.asarray(hidden), None)
    step, error, norm, base, bias_error, _ = (
        np.asarray(packed.tokens[:, i], np.float64).ravel()[:900] for i in range(6)
    )
    text_step, text_norm, text_error, _ = np.asarray(texts.texts, np.float64).T
    bytes_of_tokens = np.asarray(packed.panels).transpose(0, 2, 1, 3).reshape(-1, 96)[:900].astype(np.int64) - 128
    products = np.asarray(texts.bytes, np.int64) @ bytes_of_tokens.T
    approximate = products * np.outer(text_step, step) + base
    slack = np.outer(text_norm, error) + np.outer(text_error, norm) + bias_error
    exact = hidden.astype(np.float64) @ head.T.astype(np.float64) + bias
    assert (np.abs(approximate - exact) <= slack).all()
    np.testing.assert_array_equal(texts.sums, 128 * np.asarray(texts.bytes, np.int64).sum(1))


@built
@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize(("rows", "dim", "vocabulary", "k"), [(1, 1, 1, 1), (5, 30, 333, 333), (131, 33, 20011, 50)])
def test_both_loops_equal_the_reference(portable, rows, dim, vocabulary, k):
    hidden, head = map(jnp.asarray, cases.integers(rows, dim, vocabulary, largest=50))
    result = screen(hidden, prepare_head(head, implementation="cpu_ffi"), Options(k), portable)
    assert_same(result, aligned_topk(hidden, head, k, implementation="reference"))


@built
@pytest.mark.parametrize("k", [10, 100])
def test_realistic_texts_are_certified(k):
    hidden, head = map(jnp.asarray, cases.realistic(40, 96, 9000))
    result = aligned_topk(hidden, head, k, implementation="cpu_ffi")
    assert not result.redone.any()
    assert_close(result, aligned_topk(hidden, head, k, implementation="reference"), rtol=3e-6)


@built
def test_adversarial_rows_are_redone():
    rows = cases.adversarial(40003, stride=16)
    rows["the pilot sees the winners only"] = np.where(np.arange(40003) // 32 % 16 == 8, 100.0, 0.0).astype(np.float32)
    del rows["half of them at the lowest"]  # its norms overflow, so that every row is redone
    hidden, head = map(jnp.asarray, cases.designed(np.stack(list(rows.values()))))
    result = aligned_topk(hidden, head, 100, implementation="cpu_ffi")
    assert_same(result, aligned_topk(hidden, head, 100, implementation="reference"))
    redone = dict(zip(rows, np.asarray(result.redone).tolist(), strict=True))
    assert redone["all equal"] and redone["few values"] and redone["winners a float apart"]


@built
def test_a_shift_may_come_with_the_call_or_with_the_head():
    hidden, head = map(jnp.asarray, cases.integers(5, 24, 3000))
    direction, coefficient = jnp.arange(24.0) - 9, jnp.arange(5.0)
    moved = aligned_topk(hidden - coefficient[:, None] * direction[None, :], head, 10, implementation="reference")
    along = head @ direction
    late = prepare_head(head, implementation="cpu_ffi")
    assert_same(aligned_topk(hidden, late, 10, shift=(coefficient, along), implementation="cpu_ffi"), moved)
    early = prepare_head(head, direction=direction, implementation="cpu_ffi")
    assert_same(aligned_topk(hidden, early, 10, shift=coefficient, implementation="cpu_ffi"), moved)
    unmoved = aligned_topk(hidden, head, 10, implementation="reference")
    assert_same(aligned_topk(hidden, early, 10, implementation="cpu_ffi"), unmoved)


@built
def test_none_takes_it_where_it_is_fast():
    sizes = {"vocabulary": 30000, "hidden_size": 384, "prepared_for": "cpu_ffi"}
    fast = "cpu_ffi" if library.is_fast() else "xla"
    assert choose(k=100, with_logsumexp=False, **sizes) == fast
    assert choose(k=1000, with_logsumexp=False, **sizes) == "xla"
    assert choose(k=100, with_logsumexp=True, **sizes) == "xla"


def test_unbuilt_it_says_how_to_build_it(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "LIBRARY", tmp_path / "libscreen.so")
    library.load.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"not built: run `python -m keytokens.kernels.cpu_ffi.build`"):
            aligned_topk(jnp.zeros((2, 3)), jnp.zeros((5, 3)), 1, implementation="cpu_ffi")
        assert not library.is_fast()
    finally:
        library.load.cache_clear()


def test_a_failing_compiler_is_quoted(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(RuntimeError, match="false failed"):
        build(tmp_path / "libscreen.so")


def test_it_has_no_logsumexp():
    with pytest.raises(ValueError, match="every logit in float32"):
        aligned_topk(jnp.zeros((2, 3)), jnp.zeros((5, 3)), 1, implementation="cpu_ffi", with_logsumexp=True)
