"""Seven ways to answer "a is to a' as b is to ?", ranked over a whole vocabulary.

V candidates, D dimension, p pairs of a category. A pair is a word and its accepted answers, the first of which stands
for the relation (BATS; Gladkova, Drozd and Matsuoka, 2016).

Four methods ask about every ordered pair of pairs (i, j): a = word i, a' = its first answer, b = word j.
Three ask once about every pair j, with the other pairs as examples. The words of the question, a, a' and b or b alone,
are no candidates; any accepted answer that is none of them is right. A tie counts against the method.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import scipy

from keytokens.pipelines.analysis.logistic import fit_logistic

# Levy and Goldberg's constant, which keeps the quotient finite.
_EPSILON = np.float32(0.001)
# The rank of a question whose accepted answers are all words of the question: nobody can be right.
UNANSWERABLE = -1


Row = np.ndarray


@dataclasses.dataclass(frozen=True)
class _Pairwise:
    """A method over pairs of pairs, from rows of cosines float32 [V]; what depends on one pair is computed once.

    Attributes:
      relation: of cos(x, a) and cos(x, a').
      of_word: of cos(x, b).
      score: of the two.
    """

    relation: Callable[[Row, Row], Row]
    of_word: Callable[[Row], Row]
    score: Callable[[Row, Row], Row]


_PAIRWISE = {
    # cos(x, b) - cos(x, a) + cos(x, a'): Mikolov et al. (2013).
    "3CosAdd": _Pairwise(lambda a, a_prime: a_prime - a, lambda b: b, np.add),
    # cos(x, b) cos(x, a') / (cos(x, a) + 0.001), each cosine moved to [0, 1]: Levy and Goldberg (2014), eq. 4.
    "3CosMul": _Pairwise(
        lambda a, a_prime: (1 + a_prime) / 2 / ((1 + a) / 2 + _EPSILON), lambda b: (1 + b) / 2, np.multiply
    ),
    # The largest of the three cosines: a baseline that ignores the relation (Drozd et al., 2016).
    "SimilarToAny": _Pairwise(np.maximum, lambda b: b, np.maximum),
}
METHODS = ("3CosAdd", "3CosMul", "3CosAvg", "PairDistance", "LRCos", "SimilarToAny", "SimilarToB")


def solve_category(
    unit: np.ndarray, words: np.ndarray, answers: Sequence[np.ndarray], *, noise: np.ndarray
) -> dict[str, np.ndarray]:
    """By method the ranks of the best accepted answer, 0 for the first place, UNANSWERABLE where there is none.

    Args:
      unit: float32 [V, D], the candidates at unit length.
      words: int [p], rows of the pairs' words.
      answers: p arrays of rows of the accepted answers, the first answer first.
      noise: int, rows of random candidates: with the words of the other pairs what LRCos learns as "no answer".

    Returns:
      int64 [p (p - 1)] for methods over pairs of pairs, by i and then j; int64 [p] for the other three.
    """
    first = np.array([each[0] for each in answers], np.int64)
    rows, where = np.unique(np.concatenate([words, first]), return_inverse=True)
    similarity = unit[rows] @ unit.T
    of_word, of_first = similarity[where[: len(words)]], similarity[where[len(words) :]]
    offsets = of_first - of_word
    found: dict[str, list[int]] = {name: [] for name in METHODS}
    for j, (b, accepted) in enumerate(zip(words, answers, strict=True)):
        found["SimilarToB"].append(rank_of(of_word[j], accepted, np.array([b])))
    if len(words) > 1:
        # 3CosAvg, cos(x, b + mean of a' - mean of a), up to a length (Drozd et al., 2016, section 4).
        all_offsets = offsets.sum(0)
        chances = _chances_of_class(unit, words, first, noise)
        for j, (b, accepted) in enumerate(zip(words, answers, strict=True)):
            average = of_word[j] + (all_offsets - offsets[j]) / np.float32(len(words) - 1)
            found["3CosAvg"].append(rank_of(average, accepted, np.array([b])))
            found["LRCos"].append(rank_of(of_word[j] * chances[j], accepted, np.array([b])))
    # 1 / |x - b| of unit vectors; b itself is no candidate.
    nearness = 1 / np.sqrt(np.maximum(2 - 2 * of_word, np.float32(1e-12)))
    prepared = {name: [method.of_word(row) for row in of_word] for name, method in _PAIRWISE.items()}
    for i in range(len(words)):
        relations = {name: method.relation(of_word[i], of_first[i]) for name, method in _PAIRWISE.items()}
        for j, accepted in enumerate(answers):
            if i == j:
                continue
            asked = np.array([words[i], first[i], words[j]])
            for name, method in _PAIRWISE.items():
                found[name].append(rank_of(method.score(prepared[name][j], relations[name]), accepted, asked))
            # PairDistance, cos(x - b, a' - a) (Levy and Goldberg, 2014, eq. 2), up to the length of a' - a.
            direction = (offsets[i] - offsets[i, words[j]]) * nearness[j]
            found["PairDistance"].append(rank_of(direction, accepted, asked))
    return {name: np.array(ranks, np.int64) for name, ranks in found.items()}


def rank_of(scores: np.ndarray, accepted: np.ndarray, asked: np.ndarray) -> int:
    """How many candidates, the words of the question and other right answers aside, score as high as the best answer.

    Args:
      scores: [V].
      accepted: rows of the right answers.
      asked: rows of the words of the question.
    """
    of_question = set(asked.tolist())
    right = set(accepted.tolist()) - of_question
    if not right:
        return UNANSWERABLE
    best = scores[list(right)].max()
    aside = list(right | of_question)
    return int(np.count_nonzero(scores >= best)) - int(np.count_nonzero(scores[aside] >= best))


def accuracy(ranks: np.ndarray, top: int) -> float:
    """The share of questions with an accepted answer among the `top` best; unanswerable ones count as wrong.

    nan of no question.
    """
    return float(((ranks >= 0) & (ranks < top)).mean()) if len(ranks) else float("nan")


def _chances_of_class(unit: np.ndarray, words: np.ndarray, first: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """float32 [p, V], how likely each candidate is an answer, learnt from all pairs but the j-th.

    LRCos (Drozd et al., 2016, section 4): answers against the pairs' words and random ones.
    """
    p = len(words)
    examples = np.concatenate([first, words, noise])
    positive = np.arange(len(examples)) < p
    # The regressions' weights lie in the span of the examples: fitted there, in a few hundred dimensions at most.
    basis = np.linalg.qr(unit[np.unique(examples)].T)[0]
    points = unit[examples] @ basis
    weights, intercepts = np.zeros((p, basis.shape[1]), np.float32), np.zeros((p, 1), np.float32)
    for j in range(p):
        used = ~np.isin(np.arange(len(examples)), (j, p + j))
        weights[j], intercepts[j] = fit_logistic(points[used], positive[used])
    return scipy.special.expit((weights @ basis.T) @ unit.T + intercepts)
