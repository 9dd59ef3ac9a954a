"""Every text in one batch, its shape chosen by its own length alone."""

from hypothesis import given
from hypothesis import strategies as st

from keytokens.pipelines import batching


def test_the_ladder_doubles_with_midpoints_and_ends_at_the_limit():
    assert batching.length_ladder(256) == (16, 32, 48, 64, 96, 128, 192, 256)
    assert batching.length_ladder(200) == (16, 32, 48, 64, 96, 128, 192, 200)
    assert batching.length_ladder(10) == (10,)


@given(lengths=st.lists(st.integers(1, 200), max_size=80), budget=st.sampled_from([1, 100, 1024]))
def test_every_text_is_batched_once_at_the_shape_of_its_own_length(lengths, budget):
    batches = list(batching.plan_batches(lengths, max_length=200, batch_tokens=budget))
    assert sorted(member for batch in batches for member in batch.members) == list(range(len(lengths)))
    for batch in batches:
        assert 0 < len(batch.members) <= batch.size
        assert batch.size * batch.length <= budget or batch.size == 1
        for member in batch.members:
            # The shape this text would get if it were alone in the corpus.
            (alone,) = batching.plan_batches([lengths[member]], max_length=200, batch_tokens=budget)
            assert (alone.size, alone.length) == (batch.size, batch.length)
            assert lengths[member] <= batch.length
