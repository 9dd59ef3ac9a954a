"""Logits are split exactly: by hand, and whatever the block."""

import numpy as np
import pytest

from keytokens.pipelines.analysis.contribution import ContributionCounter, contribution


def test_by_hand():
    """Token 1 = (2, 1) at h = (3, 4): logit 10, of which the first axis 6."""
    head = np.array([[1.0, 0.0], [2.0, 1.0]])
    found = contribution(np.array([[3.0, 4.0]]), np.array([[1, 0]]), head, np.array([[1.0, 0.0]]))
    np.testing.assert_array_equal(found.total, [[10.0, 3.0]])
    np.testing.assert_array_equal(found.by_component, [[[6.0], [3.0]]])
    np.testing.assert_array_equal(found.rest, [[4.0, 0.0]])


def test_parts_sum_to_the_whole_and_blocks_to_the_corpus():
    rng = np.random.default_rng(0)
    hidden, head = rng.normal(size=(30, 5)), rng.normal(size=(20, 5))
    components = np.linalg.qr(rng.normal(size=(5, 5)))[0][:3]
    logits = hidden @ head.T
    tokens = np.argsort(-logits, axis=1)[:, :4]
    found = contribution(hidden, tokens, head, components)
    np.testing.assert_allclose(found.total, np.take_along_axis(logits, tokens, 1), rtol=1e-12)
    np.testing.assert_allclose(found.by_component.sum(-1) + found.rest, found.total, atol=1e-12)
    counter = ContributionCounter(head, components)
    for rows in (slice(0, 1), slice(1, 30)):
        counter.add(hidden[rows], tokens[rows])
    mean = counter.result()
    assert mean.total == pytest.approx(found.total.mean()) and mean.num_texts == 30
    np.testing.assert_allclose(mean.by_component, found.by_component.mean((0, 1)), rtol=1e-10)
    everything = contribution(hidden, np.tile(np.arange(20), (30, 1)), head, components)
    np.testing.assert_allclose(mean.baseline, everything.by_component.mean((0, 1)), rtol=1e-10)


def test_no_text_has_no_mean():
    with pytest.raises(ValueError, match="no text was embedded"):
        ContributionCounter(np.ones((2, 2)), np.eye(2)).result()
