"""Which component of the backbone do the logits of the aligned tokens come from?

E_g h = sum_j (E_g V_j)(V_j . h), exactly: arXiv 2406.17378 splits off j = 1. n texts, k aligned tokens of each, V
vocabulary size, D hidden size, J leading components.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Contribution:
    """Of every aligned token of every text; total = by_component summed + rest, to rounding.

    Attributes:
      total: float64 [n, k], logits without bias.
      by_component: float64 [n, k, J].
      rest: float64 [n, k], of the other D - J components.
    """

    total: np.ndarray
    by_component: np.ndarray
    rest: np.ndarray


@dataclasses.dataclass(frozen=True)
class MeanContribution:
    """Means over texts and their aligned tokens.

    Attributes:
      total: logit without bias.
      by_component: float64 [J].
      rest: of the other components.
      baseline: float64 [J], the same means over *all* tokens of the vocabulary: what a component adds to every logit
        alike decides nothing.
      num_texts: n.
    """

    total: float
    by_component: np.ndarray
    rest: float
    baseline: np.ndarray
    num_texts: int


def contribution(hidden: np.ndarray, tokens: np.ndarray, head: np.ndarray, components: np.ndarray) -> Contribution:
    """The exact split of the aligned tokens' logits.

    Args:
      hidden: [n, D].
      tokens: int [n, k], ids.
      head: [V, D], the LM head without bias.
      components: [J, D], orthonormal rows V_j.
    """
    h, u = np.asarray(hidden, np.float64), np.asarray(components, np.float64)
    rows = np.asarray(head)[tokens].astype(np.float64)  # [n, k, D]
    total = np.einsum("nkd,nd->nk", rows, h)
    by_component = (rows @ u.T) * (h @ u.T)[:, None, :]
    return Contribution(total, by_component, total - by_component.sum(-1))


class ContributionCounter:
    """Means over a corpus, block by block; arguments as in `contribution`."""

    def __init__(self, head: np.ndarray, components: np.ndarray):
        self._head, self._components = np.asarray(head), np.asarray(components, np.float64)
        self._of_all = (self._head.mean(0, dtype=np.float64) @ self._components.T)[None, :]
        self._total = self._rest = 0.0
        self._by_component, self._baseline = np.zeros((2, len(components)))
        self._num_texts = 0

    def add(self, hidden: np.ndarray, tokens: np.ndarray) -> None:
        """Counts a block: embeddings [n, D] and aligned tokens int [n, k]."""
        found = contribution(hidden, tokens, self._head, self._components)
        self._total += found.total.mean(1).sum()
        self._rest += found.rest.mean(1).sum()
        self._by_component += found.by_component.mean(1).sum(0)
        self._baseline += (self._of_all * (np.asarray(hidden, np.float64) @ self._components.T)).sum(0)
        self._num_texts += len(hidden)

    def result(self) -> MeanContribution:
        """The means of all texts added.

        Raises:
          ValueError: none was.
        """
        n = self._num_texts
        if not n:
            raise ValueError("no text was embedded, so no aligned token has a logit to split.")
        return MeanContribution(
            float(self._total / n), self._by_component / n, float(self._rest / n), self._baseline / n, n
        )
