"""Hit@K, LAR and GAR: by hand, against the definitions written out as sets, and block by block."""

import math

import numpy as np
import pytest

from keytokens.pipelines.analysis import alignment
from keytokens.pipelines.analysis.alignment import AlignmentCounter, Definition, align_texts, measure, paper_code
from keytokens.pipelines.analysis.ragged import Ragged

# Three texts over eight tokens, five aligned tokens each, and a text without tokens.
INDICES = np.array([[4, 1, 0, 7, 6], [2, 3, 0, 5, 7], [6, 5, 0, 1, 4], [0, 1, 2, 3, 4]])
OWN = Ragged.of([[1, 1, 4], [0, 7], [2], []])


def test_by_hand():
    """Text 0: T = {1, 4}, first two aligned are 4 and 1: both meet. Text 1: T = {0, 7}, first two 2 and 3: none; its
    best hit is at rank 2. Text 2: T = {2}, none anywhere. Text 3 is left out."""
    texts = align_texts(INDICES, OWN)
    assert texts.first_hit.tolist() == [0, 2, 5, 5]
    assert texts.num_tokens.tolist() == [2, 2, 1, 0]
    np.testing.assert_array_equal(texts.local_rate, [1.0, 0.0, 0.0, math.nan])
    found = measure(INDICES, OWN, vocab_size=8, definition=Definition(hit_at=2))
    assert found.hit.estimate == pytest.approx(1 / 3)
    assert found.lar.estimate == pytest.approx(1 / 3)
    assert found.gar.estimate == pytest.approx(2 / 5)  # {1, 4} of {0, 1, 2, 4, 7}
    assert (found.num_texts, found.num_left_out, found.num_incomplete) == (3, 1, 0)
    assert found.sweep[1] == pytest.approx((1 / 3, (1 / 2) / 3, 1 / 5))
    assert found.sweep[3] == pytest.approx((2 / 3, 1 / 3, 2 / 5))
    assert set(found.sweep) == {1, 2, 3, 5}


def test_the_papers_code_lengthens_texts_by_repeats_and_cuts_at_k():
    """Text 0 has three tokens with the repeat: the first three aligned count, divided by two. Cut at one, only the
    first counts."""
    own = Ragged.of([[3, 3, 0], [5]])
    indices = np.array([[1, 2, 3, 0], [4, 5, 1, 2]])
    found = measure(indices, own, vocab_size=8, definition=paper_code(3))
    assert found.lar.estimate == pytest.approx((1 / 2 + 0) / 2)
    assert found.gar.estimate == pytest.approx(1 / 3)
    assert found.hit.estimate == 1.0
    clean = measure(indices, own, vocab_size=8)
    assert clean.lar.estimate == 0.0, "the first two aligned tokens of text 0 are 1 and 2"
    assert measure(indices, own, vocab_size=8, definition=paper_code(1)).lar.estimate == 0.0


def by_sets(indices, lists, definition):
    """The definitions of the papers as they are written."""
    hit, local, matched, existing, texts = 0, 0.0, set(), set(), 0
    for aligned, tokens in zip(indices.tolist(), lists, strict=True):
        if not tokens:
            continue
        texts += 1
        first = len(tokens) if definition.repeats else len(set(tokens))
        if definition.cut is not None:
            first = min(first, definition.cut)
        met = set(aligned[:first]) & set(tokens)
        hit += bool(set(aligned[: definition.hit_at]) & set(tokens))
        local += len(met) / len(set(tokens))
        matched |= met
        existing |= set(tokens)
    return hit / texts, local / texts, len(matched) / len(existing)


@pytest.mark.parametrize("definition", [Definition(), Definition(hit_at=3, cut=5), paper_code(10), paper_code(4)])
@pytest.mark.parametrize("sizes", [(200,), (1, 90, 0, 109)])
def test_equals_the_definitions_whatever_the_blocks(definition, sizes):
    rng = np.random.default_rng(0)
    indices = np.stack([rng.permutation(60)[:30] for _ in range(200)])
    lists = [rng.integers(0, 60, rng.integers(0, 40)).tolist() for _ in range(200)]
    counter = AlignmentCounter(60, definition)
    start = 0
    for size in sizes:
        counter.add(indices[start : start + size], Ragged.of(lists[start : start + size]))
        start += size
    found = counter.result()
    expected = by_sets(indices, lists, definition)
    assert (found.hit.estimate, found.lar.estimate, found.gar.estimate) == pytest.approx(expected, abs=1e-12)
    for interval in (found.hit, found.lar, found.gar):
        assert interval.low <= interval.estimate <= interval.high
    at_k = dict(found.sweep)
    for at in (1, 5, 20):
        cut = at if definition.cut is None else min(at, definition.cut)
        wanted = by_sets(indices, lists, Definition(hit_at=at, cut=cut, repeats=definition.repeats))
        assert at_k[at] == pytest.approx(wanted, abs=1e-12)


def test_texts_with_more_tokens_than_are_kept_are_counted():
    found = measure(np.array([[0, 1]]), Ragged.of([[3, 4, 5]]), vocab_size=8)
    assert found.num_incomplete == 1
    assert measure(np.array([[0, 1]]), Ragged.of([[3, 4]]), vocab_size=8).num_incomplete == 0


def test_no_text_at_all_is_no_number():
    found = measure(np.zeros((2, 3), np.int64), Ragged.of([[], []]), vocab_size=8)
    assert found.num_texts == 0 and found.sweep == {}
    assert all(math.isnan(one.estimate) for one in (found.hit, found.lar, found.gar))


@pytest.mark.parametrize(("rows", "others", "same"), [(7, 7, True), (2, 2, True), (9, 4, False), (3, 8, False)])
def test_another_text_is_another_text(rows, others, same):
    chosen = alignment.other_texts(rows, others, seed=3, same=same)
    assert chosen.shape == (rows,) and chosen.min() >= 0 and chosen.max() < others
    if same:
        assert (chosen != np.arange(rows)).all() and len(set(chosen.tolist())) == rows


def test_class_shares():
    words = np.array([True, False, False, True])
    shares = alignment.class_shares(np.array([[0, 1], [3, 0]]), [words, ~words])
    np.testing.assert_array_equal(shares, [[0.5, 0.5], [1.0, 0.0]])
