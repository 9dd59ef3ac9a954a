"""What does a report say? Plain values, so that a page renders without a store, a model or a pipeline.

k postings a text, b bins of a histogram, V vocabulary size.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keytokens.pipelines.spectral import StoreSpectra


@dataclasses.dataclass(frozen=True)
class KeyToken:
    """One key token of one text.

    Attributes:
      token: as the tokenizer spells it, 'Ġthe' or '##ing' included.
      weight: its logit.
      token_id: its row of the LM head.
      in_text: whether it is one of the text's own tokens.
    """

    token: str
    weight: float
    token_id: int
    in_text: bool


@dataclasses.dataclass(frozen=True)
class Example:
    """One text with its key tokens.

    Attributes:
      row: its row in the store, from 0.
      doc_id: its id in the corpus.
      text: as much of it as the report shows, prompt excluded.
      key_tokens: largest weight first.
      spans: (start, end, rank) in characters of `text`, end exclusive, sorted, not overlapping: where the key token of
        that rank, from 0, stands in the text.
      truncated: whether the text was longer than the model's limit.
      embedded_chars: characters of `text` that the model saw, where it is known that it saw fewer.
      num_chars: of the whole text, where `text` is only its beginning; 0 where it is all.
    """

    row: int
    doc_id: str
    text: str
    key_tokens: tuple[KeyToken, ...]
    spans: tuple[tuple[int, int, int], ...] = ()
    truncated: bool = False
    embedded_chars: int | None = None
    num_chars: int = 0


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Counts per bin.

    Attributes:
      edges: [b + 1], ascending; a bin holds its left edge, the last one both. The edges of log bins grow by a factor.
      counts: [b].
    """

    edges: np.ndarray
    counts: np.ndarray


@dataclasses.dataclass(frozen=True)
class ReportData:
    """Everything a report shows.

    Attributes:
      title: of the page.
      manifest: of the store: program version, schema_version, model, corpus, k, counts; nested JSON.
      examples: in the order shown.
      top_tokens: (token, texts that have it among their 10 best), most frequent first: the hubs.
      document_frequency: over the tokens that occur, in how many texts each is a key token; log bins.
      num_tokens_used: vocabulary entries that are a key token of some text.
      vocab_size: V.
      weights: logits of all postings.
      weight_by_rank: [k], mean logit of the best, second best, ... key token.
      text_lengths: tokens of each text.
      hit_rate_at_10: share of texts that contain one of their own 10 best key tokens (Hit@10 of arXiv 2406.17378).
      dead_letters: the first few, each with row, file, line, kind, reason and snippet.
      dead_letter_counts: kind -> how many.
      spectra: where the store has moments of an embedded text.
      alignment: one store of measure_alignment's JSON, with the rows of its sweep over K.
      adjustment: the JSON of adjust_component, where it was run.
      trajectory: points of the training, where compare_spectra was given them.
      beside: what other models' stores of the same corpus hold, each to be shown in a section of its own.
    """

    title: str
    manifest: dict[str, Any]
    examples: tuple[Example, ...]
    top_tokens: tuple[tuple[str, int], ...]
    document_frequency: Histogram
    num_tokens_used: int
    vocab_size: int
    weights: Histogram
    weight_by_rank: np.ndarray
    text_lengths: Histogram
    hit_rate_at_10: float | None
    dead_letters: tuple[dict[str, Any], ...]
    dead_letter_counts: dict[str, int]
    spectra: StoreSpectra | None = None
    alignment: Mapping[str, Any] | None = None
    adjustment: Mapping[str, Any] | None = None
    trajectory: Sequence[Mapping[str, Any]] = ()
    beside: tuple["ReportData", ...] = ()
