"""One text with its key tokens, ready to be shown: which of them stand in the text, and where."""

from collections.abc import Sequence

import numpy as np

from keytokens import models
from keytokens.pipelines.report.data import Example, KeyToken

SHOWN_CHARS = 1200


def make_example(
    *,
    row: int,
    doc_id: str,
    text: str,
    tokens: models.Tokens,
    indices: np.ndarray,
    values: np.ndarray,
    token_strings: Sequence[str],
    shown_chars: int = SHOWN_CHARS,
) -> Example:
    """The example of one text.

    Args:
      row: its number in the store, or in the list it came from.
      doc_id: its name.
      text: without the prompt.
      tokens: as the embedder saw it.
      indices: int [k], key token ids, best first.
      values: float [k], their logits.
      token_strings: the vocabulary.
      shown_chars: a longer text is cut there.
    """
    own = tokens.text.nonzero()[0]
    rank_of = {int(token): rank for rank, token in enumerate(indices)}
    in_text = {int(token) for token in tokens.ids[own]}
    spans, end = [], 0
    for position in own:
        rank = rank_of.get(int(tokens.ids[position]))
        start, stop = (int(offset) for offset in tokens.offsets[position])
        # Byte-level tokens of one character share its offsets; the first of them marks it.
        if rank is not None and end <= start < stop <= shown_chars:
            spans.append((start, stop, rank))
            end = stop
    embedded_chars = int(tokens.offsets[own[-1], 1]) if tokens.truncated and len(own) else None
    return Example(
        row=row,
        doc_id=doc_id,
        text=text[:shown_chars],
        key_tokens=tuple(
            KeyToken(token_strings[token], float(value), int(token), int(token) in in_text)
            for token, value in zip(indices.tolist(), values, strict=True)
        ),
        spans=tuple(spans),
        truncated=tokens.truncated,
        embedded_chars=embedded_chars if embedded_chars is not None and embedded_chars < shown_chars else None,
        num_chars=len(text) if len(text) > shown_chars else 0,
    )
