"""What can be chosen when an index is built and when it is searched, with the measured defaults."""

import dataclasses

DECODINGS = ("whitened", "plain")
WEIGHTINGS = ("logit", "log", "one")
LITERALS = ("separate", "summed", "none")
IMPACTS = ("float32", "uint8")
QUERIES = ("model", "table", "tokens")
NORMALISATIONS = ("reconstruction", "euclidean", "none")
MODES = ("sparse", "bm25", "fused", "dense")


@dataclasses.dataclass(frozen=True)
class IndexOptions:
    """How documents become postings. BUILD_NOTES.md has the table by which the defaults were chosen.

    Attributes:
      k: key tokens a document.
      decoding: "whitened" takes the logits of the head with uncorrelated rows (analysis/whitening.py), "plain" the raw
        ones of the store.
      centred: subtract the corpus's mean embedding first, in documents and queries (a corpus prior on the tokens).
      without_first: remove the corpus's first principal component (V_1) first, likewise.
      weighting: of a logit x of the unit embedding, in units of the head's typical row: "logit" is max(x, 0), "log" is
        log(1 + 10 max(x, 0)), "one" is 1.
      normalize: divide a document's weights by the length of the vector that they stand for ("reconstruction", the sum
        of the weighted head rows), by their own Euclidean norm ("euclidean"), or not at all ("none").
      in_text_only: keep only key tokens that stand in the text.
      literal: the text's own tokens with BM25 impacts: a "separate" field (ids V to 2V - 1), "summed" into the key
        tokens' postings, or "none".
      literal_share: in a summed index, the literal field's share of the mean squared norm of a document.
      hub_share: a key token that more than this share of the documents have is left out.
      max_postings: postings a key token keeps, the heaviest; 0 for all.
      impacts: "float32", or "uint8" at a quarter of the size.
      k1: of BM25.
      b: of BM25.
    """

    k: int = 256
    decoding: str = "whitened"
    centred: bool = False
    without_first: bool = False
    weighting: str = "logit"
    normalize: str = "reconstruction"
    in_text_only: bool = False
    literal: str = "separate"
    literal_share: float = 0.5
    hub_share: float = 1.0
    max_postings: int = 0
    impacts: str = "float32"
    k1: float = 1.2
    b: float = 0.75

    def __post_init__(self):
        for name, allowed in (
            ("decoding", DECODINGS),
            ("weighting", WEIGHTINGS),
            ("normalize", NORMALISATIONS),
            ("literal", LITERALS),
            ("impacts", IMPACTS),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {', '.join(allowed)}.")
        if self.k < 1:
            raise ValueError(f"k={self.k}: a document keeps at least one key token.")
        if not 0 < self.hub_share <= 1:
            raise ValueError(f"hub_share={self.hub_share} is a share of the documents, above 0 and at most 1.")
        if not 0 < self.literal_share < 1:
            raise ValueError(
                f"literal_share={self.literal_share} must lie between 0 and 1; literal='none' leaves it out."
            )
        if self.max_postings < 0 or self.k1 < 0 or not 0 <= self.b <= 1:
            raise ValueError(
                f"max_postings={self.max_postings} and k1={self.k1} must not be negative, b={self.b} lies in 0 to 1."
            )


@dataclasses.dataclass(frozen=True)
class QueryOptions:
    """How a query becomes weights, and what is ranked by.

    Attributes:
      mode: "sparse" (key tokens), "bm25" (literal tokens), "fused" (sum of both, each divided by its standard deviation
        over the documents), or "dense" (cosine of the stored embeddings).
      queries: "model" embeds the query; "table" sums the stored vectors of its tokens, without the model; "tokens"
        takes the query's own tokens as they are, without either.
      m: key tokens a query.
      idf_power: query weights are multiplied by idf of the postings to this power.
      literal_weight: 1 adds each of the query's own tokens, as the paper does, to its key tokens; 0 does not.
      unit_weights: all query weights are 1, as in the paper.
    """

    mode: str = "sparse"
    queries: str = "model"
    m: int = 512
    idf_power: float = 0.5
    literal_weight: float = 0.0
    unit_weights: bool = False

    def __post_init__(self):
        for name, allowed in (("mode", MODES), ("queries", QUERIES)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {', '.join(allowed)}.")
        if self.m < 1:
            raise ValueError(f"m={self.m}: a query has at least one key token.")
