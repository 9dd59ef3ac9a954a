"""A component is moved: by hand, and against every shifted embedding decoded by itself."""

import dataclasses

import numpy as np
import pytest

from keytokens.pipelines.analysis import adjustment, token_classes
from keytokens.pipelines.analysis.moments import Moments
from keytokens.pipelines.analysis.ragged import Ragged

# Component 1 is what "the" and "," stand for; the other two tell texts apart.
TOKENS = ["the", ",", "bread", "wing"]
HEAD = np.array([[3.0, 0, 0], [2.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
HIDDEN = np.array([[2.0, 1.0, 0.1], [2.0, 0.1, 1.0]])
OWN = Ragged.of([[2], [3]])
CLASSES = token_classes.classify(TOKENS)


def test_a_backbone_that_says_stop_words_says_key_tokens_once_component_1_is_moved():
    """Logits at shift 0: 6, 4, 1, 0.1; at -2: 0, 0, 1, 0.1; half way 3, 2, 1, 0.1."""
    points = adjustment.sweep_points(np.array([-2.0, 0.0, 0.0]), factors=(0.0, 0.5, 1.0))
    curve = adjustment.adjustment_curve(
        HIDDEN, HEAD, OWN, components=np.eye(3), points=points, classes=CLASSES, k=4, hit_at=1,
        embedder=np.array([[2, 0], [0, 3]]),
    )  # fmt: skip
    assert [point.shift for point in curve] == [0.0, -1.0, -2.0]
    assert [point.own.hit.estimate for point in curve] == [0.0, 0.0, 1.0]
    assert [point.own.lar.estimate for point in curve] == [0.0, 0.0, 1.0]
    assert [point.stop_share.estimate for point in curve] == [1.0, 1.0, 0.0]
    assert [point.overlap.estimate for point in curve] == [0.5, 0.5, 0.5]  # the embedder says "the" of text 1


def test_the_sweep_moves_the_first_components_by_their_own_variation():
    points = adjustment.sweep_points(np.array([4.0, -2.0, 1.0]), leading=(2, 1), factors=(0.0, 1.0))
    assert [(point.leading, point.factor, point.coefficients.tolist()) for point in points] == [
        (1, 0.0, [0.0, 0.0]),
        (1, 1.0, [4.0, 0.0]),
        (2, 1.0, [4.0, -2.0]),
    ]
    for wrong in ([], [0], [4]):
        with pytest.raises(ValueError, match="between 1 and the 3 there are"):
            adjustment.sweep_points(np.array([4.0, -2.0, 1.0]), leading=wrong)


def test_block_by_block_is_all_at_once():
    rng = np.random.default_rng(0)
    hidden, head = rng.normal(size=(50, 6)), rng.normal(size=(40, 6))
    own = Ragged.of([rng.integers(0, 40, rng.integers(0, 9)) for _ in range(50)])
    classes = token_classes.classify([f"word{i}" if i % 3 else "the" for i in range(40)])
    components = np.linalg.qr(rng.normal(size=(6, 6)))[0].T
    points = adjustment.sweep_points(rng.normal(size=6), leading=(1, 3), factors=(-1.0, 0.0, 1.0))
    options = {"components": components, "points": points, "classes": classes, "k": 12, "hit_at": 5}
    whole = adjustment.adjustment_curve(hidden, head, own, **options)
    counter = adjustment.CurveCounter(points, classes, hit_at=5)
    for rows in (slice(0, 7), slice(7, 50)):
        shifted = [adjustment.adjust(hidden[rows], components, point.coefficients) @ head.T for point in points]
        indices = np.stack([np.argsort(-logits, axis=1)[:, :12] for logits in shifted], axis=1)
        counter.add(indices, own.take(np.arange(50)[rows]))
    for found, expected in zip(counter.result(), whole, strict=True):
        for name in ("hit", "lar", "gar"):
            for side in ("own", "content"):
                one, other = (getattr(getattr(point, side), name) for point in (found, expected))
                np.testing.assert_allclose(dataclasses.astuple(one), dataclasses.astuple(other), rtol=1e-12)
        assert (found.leading, found.factor, found.stop_share) == (
            expected.leading,
            expected.factor,
            expected.stop_share,
        )
    assert all(point.overlap is None for point in whole)


def test_moments_of_moved_embeddings():
    rng = np.random.default_rng(1)
    hidden, shift = rng.normal(size=(30, 4)), np.array([5.0, 0.0, -1.0, 0.0])
    expected = Moments.of(hidden + shift)
    moved = adjustment.adjusted_moments(Moments.of(hidden), shift, expected.unit_sum)
    np.testing.assert_allclose(moved.second_moment, expected.second_moment, rtol=1e-12)
    assert moved.count == 30
    nothing = adjustment.adjusted_moments(Moments.zero(4), shift, np.zeros(4))
    assert nothing.count == 0 and not nothing.mean.any()
