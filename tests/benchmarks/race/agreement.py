"""Do contestants compute the same? Vectors and key tokens against our own in float32, so that no speed is bought."""

import dataclasses

import numpy as np

from tests.benchmarks.race.contestant import Outcome
from tests.benchmarks.race.subjects import Subject
from tests.benchmarks.race.workloads import Workload

K = 10
LEAST_MEAN_COSINE = 0.99


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far a contestant is from the reference; None where it returns nothing of the kind.

    Attributes:
      mean_cosine: of the vectors, over the texts.
      least_cosine: of the text that differs most.
      jaccard: mean Jaccard@10 of the key tokens.
      same_texts: as many rows as there are texts.
    """

    mean_cosine: float | None
    least_cosine: float | None
    jaccard: float | None
    same_texts: bool

    def failure(self) -> str:
        """Why this is not the same computation; "" if it is."""
        if not self.same_texts:
            return "it returned another number of rows than there are texts"
        if self.mean_cosine is not None and not self.mean_cosine > LEAST_MEAN_COSINE:
            return f"its mean cosine to the reference is {self.mean_cosine:.4f}, not above {LEAST_MEAN_COSINE}"
        return ""


def cosines(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """float64 [n] of rows [n, D]."""
    vectors, others = np.asarray(vectors, np.float64), np.asarray(others, np.float64)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(others, axis=1)
    return np.sum(vectors * others, axis=1) / lengths


def mean_jaccard(tokens: np.ndarray, others: np.ndarray) -> float:
    """Mean over rows of |both| / |either| of token ids [n, k], distinct within a row."""
    both = (tokens[:, :, None] == others[:, None, :]).sum((1, 2))
    return float(np.mean(both / (tokens.shape[1] + others.shape[1] - both)))


class Reference:
    """Our float32 encoder with default options: vectors, key tokens and sizes of a workload."""

    def __init__(self, subject: Subject):
        from keytokens.pipelines import encoder

        self._encoder = encoder.Encoder(subject.read("float32"))

    def load(self, workload: Workload) -> "Loaded":
        """Embeds the workload."""
        embedded = self._encoder.embed(workload.texts)
        tokens = self._encoder.align(embedded.hidden, K).indices
        return Loaded(self._encoder, embedded.hidden, tokens, sum(len(each.ids) for each in embedded.tokens))


class Loaded:
    """The reference's answer for one workload.

    Attributes:
      num_tokens: of all texts, special tokens included, padding not.
    """

    def __init__(self, encoder, vectors: np.ndarray, tokens: np.ndarray, num_tokens: int):
        self._encoder, self._vectors, self._tokens = encoder, vectors, tokens
        self.num_tokens = num_tokens

    def compare(self, outcome: Outcome) -> Agreement:
        """How far the outcome is from the reference; vectors of any length are decoded at the reference's."""
        rows = len(self._vectors)
        vectors, tokens = outcome.vectors, outcome.key_tokens() if outcome.key_tokens else None
        if any(found is not None and len(found) != rows for found in (vectors, tokens)):
            return Agreement(None, None, None, same_texts=False)
        near = None
        if vectors is not None:
            near = cosines(vectors, self._vectors)
            if tokens is None:
                scale = np.linalg.norm(self._vectors, axis=1) / np.linalg.norm(vectors, axis=1)
                scaled = np.asarray(vectors * scale[:, None], np.float32)
                tokens = self._encoder.align(scaled, K).indices
        return Agreement(
            None if near is None else float(near.mean()),
            None if near is None else float(near.min()),
            None if tokens is None else mean_jaccard(np.asarray(tokens), self._tokens),
            same_texts=True,
        )
