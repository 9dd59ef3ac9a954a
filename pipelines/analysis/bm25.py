"""BM25 as impacts: what each posting adds to a document's score, so that an index of numbers ranks like BM25.

The formula is Robertson and Zaragoza's (2009), with Lucene's idf, ln(1 + (N - df + 0.5) / (df + 0.5)), which is never
negative.
"""

import numpy as np


def idf(document_frequency: np.ndarray, num_documents: int) -> np.ndarray:
    """ln(1 + (N - df + 0.5) / (df + 0.5)), float32, of the shape of `document_frequency`; positive for any df <= N."""
    df = np.asarray(document_frequency, np.float64)
    return np.log1p((num_documents - df + 0.5) / (df + 0.5)).astype(np.float32)


def impacts(
    term_frequency: np.ndarray,
    document_length: np.ndarray,
    inverse_document_frequency: np.ndarray,
    *,
    mean_length: float,
    k1: float = 1.2,
    b: float = 0.75,
) -> np.ndarray:
    """idf (k1 + 1) tf / (tf + k1 (1 - b + b length / mean length)) of each posting, float32 [n].

    Args:
      term_frequency: [n], how often the token stands in the document.
      document_length: [n], tokens of the document, repeats included.
      inverse_document_frequency: [n], of the token.
      mean_length: over all documents.
      k1: how slowly repeats saturate.
      b: how much long documents are held back, 0 to 1.
    """
    tf = np.asarray(term_frequency, np.float64)
    saturation = k1 * (1 - b + b * np.asarray(document_length, np.float64) / max(mean_length, 1e-9))
    return (inverse_document_frequency * (k1 + 1) * tf / (tf + saturation)).astype(np.float32)
