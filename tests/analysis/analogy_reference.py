"""The seven analogy methods as plain loops: the definition that the vectorised ones are compared with."""

import math

import numpy as np

from keytokens.pipelines.analysis import analogy
from keytokens.pipelines.analysis.logistic import fit_logistic


def loop_reference(unit, words, answers, noise):
    """Every question, every candidate, one number at a time, in float64."""
    unit = unit.astype(np.float64)

    def cos(x, y):
        return float(x @ y / math.sqrt(float(x @ x) * float(y @ y))) if (x @ x) * (y @ y) else 0.0

    def rank(score, accepted, asked):
        right = [x for x in accepted if x not in asked]
        if not right:
            return analogy.UNANSWERABLE
        best = max(score(unit[x]) for x in right)
        return sum(score(x) >= best for row, x in enumerate(unit) if row not in asked and row not in right)

    found = {name: [] for name in analogy.METHODS}
    for i, a_row in enumerate(words):
        for j, b_row in enumerate(words):
            if i == j:
                continue
            a, a_prime, b = unit[a_row], unit[answers[i][0]], unit[b_row]
            asked = {a_row, answers[i][0], b_row}
            moved = lambda x, y: (1 + cos(x, y)) / 2  # noqa: E731
            scores = {
                "3CosAdd": lambda x: cos(x, b) - cos(x, a) + cos(x, a_prime),  # noqa: B023
                "3CosMul": lambda x: moved(x, b) * moved(x, a_prime) / (moved(x, a) + 0.001),  # noqa: B023
                "PairDistance": lambda x: cos(x - b, a_prime - a),  # noqa: B023
                "SimilarToAny": lambda x: max(cos(x, b), cos(x, a), cos(x, a_prime)),  # noqa: B023
            }
            for name, score in scores.items():
                found[name].append(rank(score, answers[j], asked))
    for j, b_row in enumerate(words):
        b = unit[b_row]
        others = [i for i in range(len(words)) if i != j]
        offset = np.mean([unit[answers[i][0]] for i in others], 0) - np.mean([unit[words[i]] for i in others], 0)
        positive = [answers[i][0] for i in others]
        examples = [*positive, *(words[i] for i in others), *noise]
        w, c = fit_logistic(unit[examples], np.arange(len(examples)) < len(positive))
        scores = {
            "3CosAvg": lambda x: cos(x, b + offset),  # noqa: B023
            "LRCos": lambda x: cos(x, b) / (1 + math.exp(-(x @ w + c))),  # noqa: B023
            "SimilarToB": lambda x: cos(x, b),  # noqa: B023
        }
        for name, score in scores.items():
            found[name].append(rank(score, answers[j], {b_row}))
    return found
