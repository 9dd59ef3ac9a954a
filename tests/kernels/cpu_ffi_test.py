"""The C++ selection beside what every implementation is held to (api_test): its bounds, its threads, its absence."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.kernels import aligned_topk, prepare_head
from keytokens.kernels.choice import choose
from keytokens.kernels.cpu_ffi import instructions, library
from keytokens.kernels.cpu_ffi.build import build
from keytokens.kernels.cpu_ffi.packing import HALF, PANEL, cut, pack_head, pack_rows
from keytokens.kernels.logits import Terms
from tests.cpu_library import needs_cpu_library
from tests.kernels import cases
from tests.kernels.agreement import assert_close, assert_same

select = functools.partial(aligned_topk, implementation="cpu_ffi")
by_reference = functools.partial(aligned_topk, implementation="reference")


def unpacked(panels: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The rounded rows [64 P, I'] that the panels of rows of `size` numbers hold, and their steps [64 P, blocks]."""
    blocks, width = cut(size)
    halves = panels.reshape(-1, panels.shape[-1])
    body = blocks * width * HALF
    header = np.ascontiguousarray(halves[:, :-body]).view(np.float32).astype(np.float64)
    steps = header[:, :HALF, None] * header[:, None, HALF : HALF + blocks]
    numbers = halves[:, -body:].reshape(-1, blocks, width // 2, HALF, 2).transpose(0, 3, 1, 2, 4)
    rows = numbers.reshape(*steps.shape, width) * steps[..., None]
    return rows.reshape(-1, blocks * width), steps.reshape(-1, blocks)


@pytest.mark.parametrize("dim", [1, 31, 64, 95, 384])
def test_the_rounding_is_bounded(dim):
    hidden, head = cases.realistic(20, dim, 900)
    tokens, steps = unpacked(pack_rows(head), dim)
    norms = np.linalg.norm(steps, axis=1)
    # Texts as the library rounds them: each block with the step that makes its norm 32,767, or a little less.
    blocks, width = cut(dim)
    texts = np.pad(hidden.astype(np.float64), ((0, 0), (0, blocks * width - dim))).reshape(20, blocks, width)
    text_steps = np.linalg.norm(texts, axis=2) / (32767 - 0.5 * np.sqrt(width) - 1)
    texts = (np.rint(texts / text_steps[..., None]) * text_steps[..., None]).reshape(20, -1)
    slack = 49152 * np.sqrt(width) * np.outer(np.linalg.norm(text_steps, axis=1), norms[:900])
    exact = hidden.astype(np.float64) @ head.T.astype(np.float64)
    error = np.abs(texts @ tokens[:900].T - exact)
    assert (error <= slack).all() and error.max() > slack.mean() / 1000
    bounds = np.asarray(pack_head(jnp.asarray(head), Terms()).bounds)
    np.testing.assert_allclose(bounds[:, 0], norms.reshape(-1, PANEL).max(1), rtol=1e-6)


def test_jax_and_numpy_pack_alike():
    weight = cases.realistic(1, 131, 200)[1]
    (by_jax, _), (by_numpy, steps) = (
        unpacked(np.asarray(pack_rows(each)), 131) for each in (jnp.asarray(weight), weight)
    )
    # Where a number lies between two multiples of its step, the last bit of the step decides.
    np.testing.assert_allclose(by_jax, by_numpy, atol=1.01 * steps.max())


@needs_cpu_library
@pytest.mark.parametrize("k", [10, 100, 1000])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_realistic_texts_need_no_second_attempt(k, dtype):
    # More rows than a piece has, and more tokens than a segment.
    hidden, head = (jnp.asarray(array, dtype) for array in cases.realistic(131, 96, 20011))
    result = select(hidden, head, k, with_logsumexp=True)
    expected = by_reference(hidden, head, k, with_logsumexp=True)
    assert not result.redone.any()
    assert_close(result, expected, rtol=3e-6)
    np.testing.assert_allclose(result.logsumexp, expected.logsumexp, rtol=3e-6)


@needs_cpu_library
@pytest.mark.parametrize("spread", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("softcap", [None, 3.0, 30.0])
def test_logsumexp_of_flat_and_of_steep_logits(spread, softcap):
    rng = np.random.default_rng(0)
    hidden = jnp.asarray(spread * rng.standard_normal((17, 70), np.float32))
    head = jnp.asarray(rng.standard_normal((9001, 70), np.float32) / np.sqrt(np.float32(70)))
    options = {"with_logsumexp": True, "scale": 1.5, "softcap": softcap}
    found, expected = (way(hidden, head, 5, **options).logsumexp for way in (select, by_reference))
    np.testing.assert_allclose(found, expected, rtol=5e-6)


@needs_cpu_library
def test_adversarial_rows():
    rows = cases.adversarial(40003, stride=64)
    del rows["half of them at the lowest"]  # its norms overflow, so that every row is redone
    hidden, head = map(jnp.asarray, cases.designed(np.stack(list(rows.values()))))
    result, expected = (way(hidden, head, 100, with_logsumexp=True) for way in (select, by_reference))
    assert_same(result._replace(logsumexp=None), expected._replace(logsumexp=None))
    redone = dict(zip(rows, np.asarray(result.redone).tolist(), strict=True))
    assert redone["all equal"] and redone["few values"] and not redone["ascending"] and not redone["descending"]
    # Of a head whose columns have nothing in common, what the module promises and no more.
    longest = jnp.linalg.norm(head, axis=1).max()
    assert (np.abs(result.logsumexp - expected.logsumexp) <= 2e-4 * jnp.linalg.norm(hidden, axis=1) * longest).all()


@needs_cpu_library
def test_norms_that_overflow_are_redone():
    hidden, head = (jnp.asarray(array) for array in cases.designed(np.stack(list(cases.adversarial(500).values()))))
    result = select(hidden, head, 100, with_logsumexp=True)
    assert result.redone.all()
    assert_same(result, by_reference(hidden, head, 100, with_logsumexp=True))


@needs_cpu_library
def test_an_outlier_among_the_tokens_costs_no_exactness():
    hidden, head = cases.realistic(40, 96, 4000)
    head[3210] *= 1e4  # every other token's bound is then ten thousand times too wide
    hidden, head = jnp.asarray(hidden), jnp.asarray(head)
    result = select(hidden, head, 50)
    assert not result.redone.any()
    assert_close(result, by_reference(hidden, head, 50), rtol=3e-6)


@needs_cpu_library
def test_runs_of_the_same_rows_give_the_same_bits():
    hidden, head = map(jnp.asarray, cases.realistic(200, 64, 30011))
    prepared = prepare_head(head, implementation="cpu_ffi")
    first = select(hidden, prepared, 64, with_logsumexp=True)
    for _ in range(20):
        again = select(hidden, prepared, 64, with_logsumexp=True)
        jax.tree.map(np.testing.assert_array_equal, again, first)


@needs_cpu_library
def test_how_rows_are_given_up_does_not_depend_on_the_threads():
    """A third of the tokens are alike, as those that a vocabulary does not use; few are above them."""
    rng = np.random.default_rng(0)
    head, towards = rng.normal(size=(3 * 8192, 96)).astype(np.float32), rng.normal(size=96).astype(np.float32)
    head[:8192] *= 0.1
    head[16384:] = 1.5 * towards / np.linalg.norm(towards)
    head[8192 : 8192 + 20] += 2 * towards
    hidden = jnp.asarray(towards + 0.05 * rng.normal(size=(64, 96)), jnp.float32)
    prepared = prepare_head(jnp.asarray(head), implementation="cpu_ffi")
    first = select(hidden, prepared, 10, with_logsumexp=True)
    for _ in range(30):
        again = select(hidden, prepared, 10, with_logsumexp=True)
        jax.tree.map(np.testing.assert_array_equal, again, first)


@needs_cpu_library
@pytest.mark.parametrize("place", ["head", "bias", "direction"])
def test_a_nan_of_a_token_is_found_among_many(place):
    """Comparisons with it are false, so that a screening passes over it."""
    hidden, head = cases.realistic(9, 32, 20011)
    bias, direction = np.zeros(20011, np.float32), np.ones(32, np.float32)
    {"head": head[777], "bias": bias[777:778], "direction": direction}[place][:] = np.nan
    hidden, head, bias, direction = map(jnp.asarray, (hidden, head, bias, direction))
    prepared = prepare_head(head, bias=bias, direction=direction, implementation="cpu_ffi")
    result = select(hidden, prepared, 10, shift=jnp.ones(9), with_logsumexp=True)
    assert result.redone.all() and np.isnan(result.values).all() and np.isnan(result.logsumexp).all()
    assert (np.asarray(result.indices) == -1).all()


@needs_cpu_library
@pytest.mark.parametrize("size", [1e-14, 1e-18, 1e-20, 1e-22])
def test_rows_so_small_that_their_squares_vanish_are_right_or_redone(size):
    hidden, head = map(jnp.asarray, cases.realistic(64, 96, 20011))
    hidden *= size
    found, expected = select(hidden, head, 100).indices, aligned_topk(hidden, head, 100, implementation="xla").indices
    np.testing.assert_array_equal(np.sort(found), np.sort(expected))  # rounding may swap two of almost the same logit


@needs_cpu_library
def test_a_few_zeros_make_nobody_be_redone():
    hidden, head = cases.realistic(40, 192, 20011)
    head[:HALF, :64] = 0
    steps = [unpacked(np.asarray(pack_rows(each[:PANEL])), 192)[1] for each in (head, jnp.asarray(head))]
    np.testing.assert_allclose(*steps, rtol=1e-6)
    assert not select(jnp.asarray(hidden), jnp.asarray(head), 100).redone.any()


@needs_cpu_library
def test_a_shift_may_come_with_the_call_or_with_the_head():
    hidden, head = map(jnp.asarray, cases.integers(5, 24, 3000))
    direction, coefficient = jnp.arange(24.0) - 9, jnp.arange(5.0)
    moved = by_reference(hidden - coefficient[:, None] * direction[None, :], head, 10)
    along = head @ direction
    late = prepare_head(head, implementation="cpu_ffi")
    assert_same(select(hidden, late, 10, shift=(coefficient, along)), moved)
    early = prepare_head(head, direction=direction, implementation="cpu_ffi")
    assert_same(select(hidden, early, 10, shift=coefficient), moved)
    assert_same(select(hidden, early, 10), by_reference(hidden, head, 10))


@needs_cpu_library
def test_none_takes_it_where_it_is_fast():
    sizes = {"vocabulary": 30000, "prepared_for": "cpu_ffi"}
    for k, with_logsumexp in ((1, True), (100, False), (1000, True)):
        assert choose(k=k, with_logsumexp=with_logsumexp, **sizes) == "cpu_ffi"


def test_unbuilt_it_says_how_to_build_it(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=r"not built for this CPU: run `python -m keytokens.kernels.cpu_ffi.build`"):
        select(jnp.zeros((2, 3)), jnp.zeros((5, 3)), 1)
    assert not library.is_fast()


def test_a_cpu_that_no_library_is_built_for_is_refused(monkeypatch):
    monkeypatch.setattr(instructions, "usable", lambda: ())
    assert not library.is_fast()
    with pytest.raises(ValueError, match="implementation='cpu_ffi' needs a CPU with AVX-512 VNNI or AVX2"):
        select(jnp.zeros((2, 7)), jnp.zeros((5, 7)), 1)


def test_a_failing_compiler_is_quoted(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(RuntimeError, match="false failed"):
        build(tmp_path)
