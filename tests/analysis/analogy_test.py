"""Analogies: a plain loop over questions and candidates is the definition; small worlds by hand."""

import numpy as np
import pytest

from keytokens.pipelines.analysis import analogy
from tests.analysis.analogy_reference import loop_reference


def a_category(seed: int, *, num_candidates: int = 120, pairs: int = 7, dimension: int = 12):
    """Random candidates, words with one to four answers, among them words of other pairs and words of the question."""
    rng = np.random.default_rng(seed)
    unit = rng.normal(0.1, 1, (num_candidates, dimension))
    words = rng.choice(num_candidates, pairs, replace=False)
    unit[words + 1 - 2 * (words == num_candidates - 1)] += 0.5
    answers = [rng.choice(num_candidates, rng.integers(1, 5), replace=False) for _ in range(pairs)]
    answers[1][0] = answers[0][0]  # two words of one answer, which then is a word of the question
    answers[2] = np.array([answers[3][0]])
    answers[4] = np.array([words[4], words[5]])  # a word that is its own answer
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
    return unit, words, answers, rng.choice(num_candidates, pairs)


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_plain_loop(seed):
    unit, words, answers, noise = a_category(seed)
    found = analogy.solve_category(unit, words, answers, noise=noise)
    expected = loop_reference(unit, words.tolist(), [each.tolist() for each in answers], noise)
    assert list(found) == list(analogy.METHODS)
    for name, ranks in found.items():
        # float32 against float64: a candidate that ties to seven digits may change sides.
        difference = np.abs(ranks - np.array(expected[name]))
        assert difference.max() <= 1 and (difference > 0).mean() < 0.02, name
        assert (ranks == analogy.UNANSWERABLE).any() == (analogy.UNANSWERABLE in expected[name])
    assert (found["3CosAdd"] == analogy.UNANSWERABLE).any()


def test_a_world_of_parallels():
    # king - man + woman: 0 man, 1 woman, 2 king, 3 queen, 4 and 5 something else.
    world = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [-1, 0, 1], [0, -1, -1]], np.float32)
    unit = world / np.linalg.norm(world, axis=1, keepdims=True)
    words, answers = np.array([0, 2]), [np.array([1]), np.array([3])]
    found = analogy.solve_category(unit, words, answers, noise=np.array([4, 5]))
    assert found["3CosAdd"].tolist() == found["3CosMul"].tolist() == found["PairDistance"].tolist() == [0, 0]
    # Nearest to king (2) is queen (3), nearest to man (0) are woman (1) and king, a tie: it counts against the method.
    assert found["SimilarToB"].tolist() == [1, 0]


def test_rank_by_hand():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    assert analogy.rank_of(scores, np.array([2, 3]), np.array([4])) == 2
    assert analogy.rank_of(scores, np.array([2, 3]), np.array([0])) == 1
    assert analogy.rank_of(scores, np.array([2, 1]), np.array([0, 1])) == 0
    assert analogy.rank_of(scores, np.array([2, 2]), np.array([2, 0])) == analogy.UNANSWERABLE
    assert analogy.rank_of(np.zeros(5), np.array([2]), np.array([0])) == 3


def test_accuracy_by_hand():
    ranks = np.array([0, 4, 5, analogy.UNANSWERABLE])
    assert (analogy.accuracy(ranks, 1), analogy.accuracy(ranks, 5)) == (0.25, 0.5)
    assert np.isnan(analogy.accuracy(ranks[:0], 1))


def test_a_lone_pair_is_asked_only_what_needs_no_other():
    unit, words, answers, noise = a_category(0)
    found = analogy.solve_category(unit, words[:1], answers[:1], noise=noise)
    assert {name: len(ranks) for name, ranks in found.items() if len(ranks)} == {"SimilarToB": 1}
