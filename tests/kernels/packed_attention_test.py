"""Attention of packed texts: equal to attention over whole rows with a mask, and each text by itself."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.kernels import packed_attention
from tests.cpu_library import needs_cpu_library

pytestmark = needs_cpu_library
# Rows of texts by their lengths; what is missing to the longest row is padding.
ROWS = {"short": [[1, 2, 16, 17], [5], []], "long": [[130, 6]], "one": [[1]]}
WINDOWS = [(None, None), (None, 0), (7, 0), (3, 5), (40, None), (0, 0)]


def segments_of(rows, *, before=0):
    length = max(1, before + max(sum(row) for row in rows))
    segments = np.zeros((len(rows), length), np.int32)
    numbers = itertools.count(1)
    for row, lengths in enumerate(rows):
        filled = [next(numbers) for _ in lengths]
        segments[row, before : before + sum(lengths)] = np.repeat(filled, lengths)
    return segments


def heads(segments, num_heads, num_kv_heads, size, seed=0):
    rng = np.random.default_rng(seed)
    return [
        rng.standard_normal((*segments.shape, n, size), np.float32) for n in (num_heads, num_kv_heads, num_kv_heads)
    ]


def reference(queries, keys, values, segments, behind, ahead, scale):
    """In float64, a query at a time."""
    rows, length, num_heads, size = queries.shape
    out = np.zeros((rows, length, num_heads, size))
    for row, at, head in itertools.product(range(rows), range(length), range(num_heads)):
        if not segments[row, at]:
            continue
        seen = [
            key
            for key in range(length)
            if segments[row, key] == segments[row, at]
            and (behind is None or key >= at - behind)
            and (ahead is None or key <= at + ahead)
        ]
        kv = head // (num_heads // keys.shape[2])
        scores = scale * keys[row, seen, kv].astype(np.float64) @ queries[row, at, head].astype(np.float64)
        weights = np.exp(scores - scores.max())
        out[row, at, head] = weights / weights.sum() @ values[row, seen, kv].astype(np.float64)
    return out.reshape(rows, length, -1)


def attend(queries, keys, values, segments, **options):
    arrays = map(jnp.asarray, (queries, keys, values, segments))
    return np.asarray(packed_attention(*arrays, **options))


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("behind", "ahead"), WINDOWS)
@pytest.mark.parametrize(("num_heads", "num_kv_heads", "size"), [(2, 2, 32), (4, 2, 5), (3, 1, 40)])
def test_equals_the_definition(rows, behind, ahead, num_heads, num_kv_heads, size):
    segments = segments_of(ROWS[rows])
    arrays = heads(segments, num_heads, num_kv_heads, size)
    found = attend(*arrays, segments, behind=behind, ahead=ahead, scale=0.3)
    # Queries and keys of 40 normal numbers are rounded to 1 / 32,767 of their lengths: scores 0.3 x 40 x 2.2e-5 apart.
    expected = reference(*arrays, segments, behind, ahead, 0.3)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    if size == 32:
        assert np.abs(found - expected).mean() < 5e-5
    np.testing.assert_array_equal(found[segments == 0], 0)


def test_scores_far_apart_and_far_out_stay_finite():
    segments = segments_of([[20]])
    queries, keys, values = heads(segments, 1, 1, 16)
    found = attend(1e4 * queries, 1e4 * keys, values, segments, behind=None, ahead=None, scale=1.0)
    np.testing.assert_allclose(
        found, reference(1e4 * queries, 1e4 * keys, values, segments, None, None, 1.0), atol=2e-5
    )


def test_a_text_does_not_depend_on_where_it_stands_or_beside_what():
    alone = segments_of([[23]])
    queries, keys, values = heads(alone, 3, 3, 24)
    options = {"behind": 9, "ahead": 4, "scale": 0.2}
    expected = attend(queries, keys, values, alone, **options)[0]
    packed = segments_of([[11, 23, 30]], before=3)
    others = heads(packed, 3, 3, 24, seed=1)
    place = slice(14, 37)
    for array, own in zip(others, (queries, keys, values), strict=True):
        array[0, place] = own[0]
    np.testing.assert_array_equal(attend(*others, packed, **options)[0, place], expected)


def test_a_nan_stays_in_its_text():
    segments = segments_of([[6, 7]])
    arrays = heads(segments, 2, 2, 8)
    options = {"behind": None, "ahead": None, "scale": 1.0}
    clean = attend(*arrays, segments, **options)
    arrays[1][0, 2] = np.nan
    spoilt = attend(*arrays, segments, **options)
    assert np.isnan(spoilt[0, :6]).all()
    np.testing.assert_array_equal(spoilt[0, 6:], clean[0, 6:])


@pytest.mark.parametrize("change", ["length", "heads", "size", "segments"])
def test_shapes_that_do_not_fit_are_refused(change):
    segments = segments_of([[6, 7]])
    queries, keys, values = (jnp.asarray(array) for array in heads(segments, 4, 2, 8))
    if change == "length":
        keys = keys[:, :-1]
    elif change == "heads":
        queries = queries[:, :, :3]
    elif change == "size":
        values = values[..., :7]
    else:
        segments = segments[:, :-1]
    with pytest.raises(ValueError, match=r"do not fit queries \[1, 13, [34], 8\]"):
        packed_attention(queries, keys, values, jnp.asarray(segments), behind=None, ahead=None, scale=1.0)


def test_another_device_is_refused(monkeypatch):
    segments = segments_of([[2]])
    arrays = heads(segments, 1, 1, 4)
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    with pytest.raises(ValueError, match="needs a CPU, but the default device is a tpu"):
        attend(*arrays, segments, behind=None, ahead=None, scale=1.0)
