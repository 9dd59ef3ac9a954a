"""BATS put to one model: which questions it can be asked, and how often each method is right."""

import concurrent.futures
import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from keytokens.pipelines.analysis import analogy
from keytokens.pipelines.words.bats import Category
from keytokens.pipelines.words.vectors import WordVectors

# numpy's loops over candidates run side by side; a category takes 2 KB of memory a candidate.
_MAX_THREADS = 4


@dataclasses.dataclass(frozen=True)
class CategoryResult:
    """One category, one model.

    Attributes:
      code: of the category.
      name: of the category.
      group: of the category.
      num_pairs: of the category.
      covered_pairs: those asked: word and first answer are candidates.
      questions: by method.
      unanswerable: by method, questions whose accepted candidates are all words of the question; they count as wrong.
      top1: by method, the share of questions answered right; nan of no question.
      top5: by method, the share with a right answer among the best five.
    """

    code: str
    name: str
    group: str
    num_pairs: int
    covered_pairs: int
    questions: dict[str, int]
    unanswerable: dict[str, int]
    top1: dict[str, float]
    top5: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Analogies:
    """All categories, one model.

    Attributes:
      num_candidates: words among which answers are looked for.
      categories: in the order of their codes.
    """

    num_candidates: int
    categories: tuple[CategoryResult, ...]

    def average(self, method: str, *, group: str | None = None, top: int = 1) -> float:
        """The mean accuracy over the categories of a group, or of all, that had a question; nan if none had."""
        of = [each for each in self.categories if group in (None, each.group) and each.questions[method]]
        return float(np.mean([(each.top1 if top == 1 else each.top5)[method] for each in of])) if of else float("nan")


def solve(
    vectors: WordVectors, categories: Sequence[Category], vocabulary: Sequence[str], *, seed: int = 0
) -> Analogies:
    """Every method on every category.

    Args:
      vectors: of the model.
      categories: of BATS.
      vocabulary: candidate answers; those the model lacks are left out. A question's own words need not be told apart:
        a pair is asked if its word and its first answer are candidates.
      seed: of the words that LRCos takes for wrong answers.
    """
    rows = np.unique(vectors.rows(vocabulary))
    rows = rows[rows >= 0]
    unit = np.ascontiguousarray(vectors.unit[rows])
    place = np.full(len(vectors.words), -1, np.int64)
    place[rows] = np.arange(len(rows))
    rng = np.random.default_rng(seed)
    noise = [rng.choice(len(unit), size=min(len(each.words), len(unit)), replace=False) for each in categories]
    with concurrent.futures.ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        solved = pool.map(
            lambda pair: _solve_one(vectors, pair[0], place, unit, pair[1]), zip(categories, noise, strict=True)
        )
        return Analogies(len(rows), tuple(solved))


def _solve_one(
    vectors: WordVectors, category: Category, place: np.ndarray, unit: np.ndarray, noise: np.ndarray
) -> CategoryResult:
    words, answers = [], []
    for word, accepted in zip(category.words, category.answers, strict=True):
        first, *rest = _places(vectors, place, (word, *accepted))
        if first >= 0 and rest[0] >= 0:
            words.append(first)
            answers.append(np.array([each for each in dict.fromkeys(rest) if each >= 0], np.int64))
    ranks = {method: np.zeros(0, np.int64) for method in analogy.METHODS}
    if words:
        ranks = analogy.solve_category(unit, np.array(words, np.int64), answers, noise=noise)
    return CategoryResult(
        code=category.code,
        name=category.name,
        group=category.group,
        num_pairs=len(category.words),
        covered_pairs=len(words),
        questions={method: len(found) for method, found in ranks.items()},
        unanswerable={method: int((found == analogy.UNANSWERABLE).sum()) for method, found in ranks.items()},
        top1={method: analogy.accuracy(found, 1) for method, found in ranks.items()},
        top5={method: analogy.accuracy(found, 5) for method, found in ranks.items()},
    )


def _places(vectors: WordVectors, place: np.ndarray, words: Sequence[str]) -> list[int]:
    """Candidate numbers, -1 where a word is no candidate."""
    return [int(place[row]) if row >= 0 else -1 for row in vectors.rows(words).tolist()]
