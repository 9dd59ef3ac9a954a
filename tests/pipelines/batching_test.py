"""Every text in one batch, little padding, few shapes, and batches that follow from the lengths alone."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keytokens.pipelines import batching

every_layout = pytest.mark.parametrize("layout", batching.LAYOUTS)


def plan(lengths, layout, *, max_length=200, batch_tokens=1024):
    return list(batching.plan_batches(lengths, layout=layout, max_length=max_length, batch_tokens=batch_tokens))


def padding(lengths, batches):
    return 1 - sum(lengths) / sum(batch.size * batch.length for batch in batches)


def test_ladders():
    assert batching.length_ladder(200) == (16, 32, 64, 96, 128, 160, 192, 224)
    assert batching.length_ladder(512, first=64)[-5:] == (256, 320, 384, 448, 512)
    assert batching.length_ladder(10) == (16,)
    assert batching.flat_ladder(256, 1024) == (128, 256, 512, 768, 896, 1024, 1152, 1280)
    assert batching.flat_ladder(2000, 1024)[-3:] == (1536, 1792, 2048)
    assert batching.batch_sizes(64, 1024) == (16, 2)
    assert batching.batch_sizes(2048, 1024) == (1,)


@every_layout
@given(
    lengths=st.lists(st.integers(1, 200), max_size=80),
    budget=st.sampled_from([1, 100, 1024]),
    max_length=st.sampled_from([200, 333]),
)
def test_every_text_is_batched_once_in_a_shape_that_was_promised(layout, lengths, budget, max_length):
    batches = plan(lengths, layout, max_length=max_length, batch_tokens=budget)
    assert sorted(member for batch in batches for member in batch.members) == list(range(len(lengths)))
    promised = batching.shapes(layout, max_length=max_length, batch_tokens=budget)
    for batch in batches:
        assert (batch.size, batch.length) in promised
        assert 0 < len(batch.rows) <= batch.size
        assert all(0 < sum(lengths[member] for member in row) <= batch.length for row in batch.rows)
        assert len(batch.members) <= batching.most_texts(batch.size, batch.length)
        if layout == "alone":
            assert all(len(row) == 1 for row in batch.rows)
    assert batches == plan(lengths, layout, max_length=max_length, batch_tokens=budget)


def test_as_many_texts_as_a_shard_holds_leave_little_padding():
    rng = random.Random(0)
    mixed = [min(256, 3 + int(rng.lognormvariate(3.8, 0.9))) for _ in range(4096)]
    short = [rng.randint(5, 40) for _ in range(4096)]
    for lengths in (mixed, short):
        for layout in ("rows", "flat"):
            batches = plan(lengths, layout, max_length=256)
            assert padding(lengths, batches) < 0.01
            assert len({(batch.size, batch.length) for batch in batches}) <= 14


@pytest.mark.parametrize("length", [40, 100, 150, 200, 230, 256])
def test_texts_of_one_length_fit_a_flat_batch(length):
    lengths = [length] * 600
    assert padding(lengths, plan(lengths, "flat", max_length=256)) < 0.03


def test_a_text_alone_computes_in_a_small_shape():
    assert [(batch.size, batch.length) for layout in batching.LAYOUTS for batch in plan([12], layout)] == [
        (8, 16),
        (2, 64),
        (1, 128),
    ]


def test_texts_longer_than_a_batch_stand_alone():
    lengths = [3000, 20, 1500]
    (long, *_) = plan(lengths, "flat", max_length=4096)
    assert (long.size, long.length) == (1, 3072) and long.members == (0, 1)
