"""What a search finds: rows and scores, documents, and the tokens that made them so."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class MatchedToken:
    """A token that query and document share.

    Attributes:
      token: as the tokenizer spells it.
      literal: it stands in both texts (the BM25 field), rather than being a key token of both.
      share: of the score; the shares of all matched tokens sum to 1.
    """

    token: str
    literal: bool
    share: float


@dataclasses.dataclass(frozen=True)
class Hit:
    """A document that was found.

    Attributes:
      doc_id: its id.
      row: its number in the store.
      score: larger is better; comparable within one query only.
      why: the matched tokens with the largest shares; empty in a dense search, which has no tokens to show.
      num_matched: all matched tokens.
    """

    doc_id: str
    row: int
    score: float
    why: tuple[MatchedToken, ...] = ()
    num_matched: int = 0


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The best rows of one query: int64 [k'] and float64 [k'], and the postings that were read for it."""

    rows: np.ndarray
    scores: np.ndarray
    postings: int
