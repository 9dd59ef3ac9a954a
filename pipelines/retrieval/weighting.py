"""From logits and term frequencies to weights of postings: no files, no model.

n texts, k tokens each; P postings.
"""

import numpy as np

from keytokens.pipelines.analysis import bm25
from keytokens.pipelines.retrieval.options import IndexOptions

# In log(1 + GAIN x): logits of unit embeddings against rows of unit length lie below 1, where log1p is nearly linear.
GAIN = 10.0


def weigh(logits: np.ndarray, weighting: str) -> np.ndarray:
    """Weights float32 [n, k] of logits [n, k]: "logit" max(x, 0), "log" log(1 + 10 max(x, 0)), "one" 1 where x > 0."""
    positive = np.maximum(logits, 0).astype(np.float32)
    if weighting == "one":
        return (positive > 0).astype(np.float32)
    return np.log1p(GAIN * positive) if weighting == "log" else positive


def literal_impacts(
    frequencies: np.ndarray,
    lengths: np.ndarray,
    inverse_frequencies: np.ndarray,
    *,
    mean_length: float,
    options: IndexOptions,
) -> np.ndarray:
    """BM25 impacts float32 [P] of postings; 0 where the token does not stand in the text, as a key token may.

    Args:
      frequencies: [P], how often it does.
      lengths: [P], of the texts.
      inverse_frequencies: [P], idf of the tokens.
      mean_length: of all texts.
      options: k1 and b.
    """
    found, stands = np.zeros(len(frequencies), np.float32), frequencies > 0
    found[stands] = bm25.impacts(
        frequencies[stands],
        lengths[stands],
        inverse_frequencies[stands],
        mean_length=mean_length,
        k1=options.k1,
        b=options.b,
    )
    return found


def unit_rows(weights: np.ndarray) -> np.ndarray:
    """The rows [n, k] divided by their Euclidean norms; a row of zeros stays."""
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    return np.divide(weights, norms, out=np.zeros_like(weights), where=norms > 0)


def quantise(weights: np.ndarray, scale: float | np.ndarray) -> np.ndarray:
    """uint8 impacts of positive weights: round(w / scale), at least 1, so that no posting is lost."""
    return np.clip(np.rint(weights / scale), 1, 255).astype(np.uint8)
