"""Linear maps of 16-bit integers: how precise, never overflowing, each row by itself, clear about misuse."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from keytokens.kernels import Join, Packed, pack_rows, packed_feed_forward, packed_linears
from keytokens.kernels.cpu_ffi import linear
from tests.cpu_library import needs_cpu_library

pytestmark = needs_cpu_library


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def multiply(x, weight, bias=None, **options):
    return np.asarray(packed_linears(jnp.asarray(x), [pack(weight, bias)], **options)[0])


def pack(weight, bias=None):
    bias = None if bias is None else jnp.asarray(bias)
    return Packed(jnp.asarray(pack_rows(weight)), bias, len(weight))


def exact(x, weight):
    return x.astype(np.float64) @ weight.T.astype(np.float64)


def lengths_of(x, weight):
    return np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(weight, axis=1))


@pytest.mark.parametrize(
    ("rows", "size", "out"), [(1, 1, 1), (9, 3, 50), (8, 64, 48), (65, 257, 47), (130, 384, 100), (3, 1100, 49)]
)
def test_products_are_ten_times_as_precise_as_bfloat16(rows, size, out):
    x, weight = normal(rows, size), normal(out, size, seed=1)
    error = np.abs(multiply(x, weight) - exact(x, weight)).mean()
    rounded = (np.asarray(jnp.asarray(array).astype(jnp.bfloat16).astype(jnp.float32)) for array in (x, weight))
    bfloat16_error = np.abs(exact(*rounded) - exact(x, weight)).mean()
    assert error < bfloat16_error / 10
    # Where all numbers are of one size, a block's norm spares none of the 16 bits: 2^-12 of the length and better.
    assert error < 2.0**-12 * lengths_of(x, weight).mean()


@pytest.mark.parametrize("size", [1, 2, 31, 64, 65, 384, 1000])
@pytest.mark.parametrize("kind", ["alike", "one value", "one number", "opposite", "huge", "tiny"])
def test_the_largest_sums_there_can_be_do_not_overflow(size, kind):
    x = np.ones((3, size), np.float32) if kind == "one value" else normal(3, size)
    if kind == "one number":
        x[:, 1:] = 0
    x *= {"huge": np.float32(1e15), "tiny": np.float32(1e-15)}.get(kind, np.float32(1))
    weight = -x if kind == "opposite" else x
    scale = lengths_of(x, weight)
    np.testing.assert_allclose(multiply(x, weight) / scale, exact(x, weight) / scale, atol=1e-3)


@pytest.mark.parametrize("factor", [1e-18, 1e-20, 1e-22])
def test_squares_that_vanish_in_float32_do_no_harm(factor):
    x, weight = normal(3, 130), normal(4, 130, seed=1)
    lengths = lengths_of(x, weight)
    for left, right in ((np.float32(factor) * x, weight), (x, np.float32(factor) * weight)):
        assert (np.abs(multiply(left, right) - exact(left, right)) <= (1e-3 * factor + 1e-21) * lengths).all()


def test_a_row_is_its_own_whatever_its_neighbours():
    x, weight = normal(70, 200), normal(60, 200, seed=1)
    together = multiply(x, weight)
    for row in (0, 7, 8, 63, 64, 69):
        np.testing.assert_array_equal(multiply(x[row : row + 1], weight)[0], together[row])
    np.testing.assert_array_equal(multiply(x[::-1], weight)[::-1], together)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_what_is_not_finite_spoils_its_row_and_no_other(bad):
    x, weight = normal(5, 130), normal(4, 130, seed=1)
    clean = multiply(x, weight)
    x[2, 129] = bad
    spoilt = multiply(x, weight)
    assert np.isnan(spoilt[2]).all()
    np.testing.assert_array_equal(np.delete(spoilt, 2, axis=0), np.delete(clean, 2, axis=0))


def test_zeros_stay_zeros():
    np.testing.assert_array_equal(multiply(np.zeros((2, 70), np.float32), normal(3, 70)), 0)
    np.testing.assert_array_equal(multiply(normal(2, 70), np.zeros((3, 70), np.float32)), 0)


ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * special.ndtr(x),
    "gelu_tanh": lambda x: x * special.expit(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)),
    "silu": lambda x: x * special.expit(x),
}


def test_every_activation_is_tested():
    assert set(ACTIVATIONS) | {None} == set(linear.ACTIVATIONS)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_equal_their_definitions(activation):
    # One input of 1, so that the bias is what the activation sees: from far below to far above, and a NaN.
    inputs = np.concatenate([np.linspace(-100, 100, 4001), np.linspace(-8, 8, 4001), [0.0]]).astype(np.float32)
    zero = np.zeros((len(inputs), 1), np.float32)
    found = multiply(np.ones((1, 1), np.float32), zero, inputs, activation=activation)[0]
    # Float32 of polynomials, a quotient and an exponential of this size.
    np.testing.assert_allclose(found, ACTIVATIONS[activation](inputs.astype(np.float64)), rtol=2e-6, atol=1.5e-6)
    assert np.isnan(multiply(np.full((1, 1), np.nan, np.float32), zero, activation=activation)).all()


def test_leading_axes_are_kept():
    x, weight, bias = normal(2, 3, 40), normal(5, 40, seed=1), normal(5, seed=2)
    found = multiply(x, weight, bias)
    assert found.shape == (2, 3, 5)
    np.testing.assert_array_equal(found.reshape(6, 5), multiply(x.reshape(6, 40), weight, bias))


def test_another_device_is_refused(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(ValueError, match="needs a CPU, but the default device is a gpu"):
        multiply(normal(1, 4), normal(1, 4))


def test_maps_of_one_input_are_what_each_is_alone():
    x, weights, biases = normal(70, 130), [normal(out, 130, seed=out) for out in (50, 3, 96)], [normal(50), None, None]
    maps = [pack(weight, bias) for weight, bias in zip(weights, biases, strict=True)]
    for found, weight, bias in zip(packed_linears(jnp.asarray(x), maps), weights, biases, strict=True):
        np.testing.assert_array_equal(found, multiply(x, weight, bias))


def joined(y, added, weight, bias, eps):
    """The definition, in float64."""
    y = y.astype(np.float64) + added
    if weight is None:
        return y
    centred = y - (0 if bias is None else y.mean(-1, keepdims=True))
    normed = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + eps) * weight
    return normed if bias is None else normed + bias


@pytest.mark.parametrize("size", [1, 7, 384])
@pytest.mark.parametrize("norm", ["none", "rms", "layer"])
def test_what_is_joined_is_added_and_normed(norm, size):
    x, weight, added = normal(70, 40), normal(size, 40, seed=1), normal(70, size, seed=2)
    scale, shift = normal(size, seed=3), normal(size, seed=4)
    scale, shift = {"none": (None, None), "rms": (scale, None), "layer": (scale, shift)}[norm]
    join = Join(*(None if array is None else jnp.asarray(array) for array in (added, scale, shift)), eps=0.1)
    found = multiply(x, weight, join=join)
    np.testing.assert_allclose(found, joined(multiply(x, weight), added, scale, shift, 0.1), atol=1e-5)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("rows", [1, 64, 67, 300])
def test_a_feed_forward_layer_is_its_maps_one_after_the_other(rows, gated):
    x, added, bias = normal(rows, 70), normal(rows, 50, seed=5), normal(90, seed=6)
    up, gate, down = normal(90, 70, seed=1), normal(90, 70, seed=2), normal(50, 90, seed=3) / 30
    join = Join(jnp.asarray(added), jnp.ones(50), jnp.zeros(50), eps=0.1)
    found = packed_feed_forward(
        jnp.asarray(x),
        pack(up, bias),
        pack(down, bias[:50]),
        gate=pack(gate, bias) if gated else None,
        activation="silu",
        join=join,
    )
    inside = multiply(x, up, bias, activation=None if gated else "silu")
    if gated:
        inside = inside * multiply(x, gate, bias, activation="silu")
    np.testing.assert_array_equal(found, multiply(inside, down, bias[:50], join=join))


def test_shapes_that_do_not_fit_are_refused():
    x, wide, narrow = jnp.zeros((2, 70)), pack(normal(90, 70)), pack(normal(90, 200))
    with pytest.raises(ValueError, match="is not 90 x 70"):
        packed_linears(x, [wide, narrow])
    with pytest.raises(ValueError, match="does not fit 90 outputs"):
        packed_linears(x, [wide._replace(bias=jnp.zeros(89))])
    with pytest.raises(ValueError, match="is not 90 x 90"):
        packed_feed_forward(x, wide, narrow, gate=None, activation=None)
    with pytest.raises(ValueError, match="a gate of 80 numbers does not fit the 90"):
        packed_feed_forward(x, wide, pack(normal(70, 90)), gate=pack(normal(80, 70)), activation=None)


def test_joins_that_do_not_fit_are_refused():
    x, matrix = jnp.zeros((2, 3, 70)), pack(normal(90, 70))
    for join, message in (
        (Join(added=jnp.zeros((2, 90))), r"Join's added is \[2, 90\], but must be \[2, 3, 90\]"),
        (Join(weight=jnp.zeros(89)), r"Join's weight is \[89\], but must be \[90\]"),
        (Join(weight=jnp.zeros(90), bias=jnp.zeros(1)), r"Join's bias is \[1\]"),
        (Join(bias=jnp.zeros(90)), "not its weight"),
    ):
        with pytest.raises(ValueError, match=message):
            packed_linears(x, [matrix], join=join)


def test_an_unknown_activation_is_refused():
    x, matrix = jnp.zeros((2, 70)), pack(normal(70, 70))
    with pytest.raises(ValueError, match="activation='tanh' is not one of None, "):
        packed_linears(x, [matrix], activation="tanh")
    with pytest.raises(ValueError, match="activation='tanh' is not one of None, "):
        packed_feed_forward(x, matrix, matrix, gate=None, activation="tanh")


def test_no_rows_are_no_rows():
    weight = normal(5, 4)
    assert multiply(normal(0, 4), weight).shape == (0, 5)
    square = pack(normal(4, 4))
    assert packed_feed_forward(jnp.zeros((0, 4)), square, square, gate=None, activation="relu").shape == (0, 4)
