"""The texts that a report shows, kept in the store, so that it can be written again without the corpus."""

import dataclasses
from typing import Any

import numpy as np

from keytokens import models
from keytokens.pipelines.report import data
from keytokens.pipelines.report.examples import SHOWN_CHARS
from keytokens.pipelines.store import files as store_files
from keytokens.pipelines.store import reader

_KEY = "run/examples.json"
_KEY_TOKENS = 20


@dataclasses.dataclass(frozen=True)
class SavedText:
    """One text, apart from its key tokens.

    Attributes:
      row: of the store.
      doc_id: its id.
      text: its beginning.
      num_chars: of the whole text.
      truncated: whether the model saw only a part.
      embedded_chars: characters of the text that the model saw.
      own: (start, end, token id) of every token of the text that lies within `text`.
    """

    row: int
    doc_id: str
    text: str
    num_chars: int
    truncated: bool
    embedded_chars: int
    own: tuple[tuple[int, int, int], ...]


def of_tokens(row: int, doc_id: str, text: str, tokens: models.Tokens) -> SavedText:
    """What is kept of a text."""
    own = tokens.text.nonzero()[0]
    places = [
        (int(start), int(end), int(token))
        for (start, end), token in zip(tokens.offsets[own], tokens.ids[own], strict=True)
    ]
    return SavedText(
        row=row,
        doc_id=doc_id,
        text=text[:SHOWN_CHARS],
        num_chars=len(text),
        truncated=tokens.truncated,
        embedded_chars=int(tokens.offsets[own[-1], 1]) if tokens.truncated and len(own) else len(text),
        own=tuple(place for place in places if place[1] <= SHOWN_CHARS),
    )


def write(files: store_files.StoreFiles, kept: list[SavedText]) -> None:
    """Keeps the texts in the store."""
    files.write_json(_KEY, [dataclasses.asdict(one) for one in kept])


def copy(source: store_files.StoreFiles, target: store_files.StoreFiles) -> None:
    """The texts of another store of the same rows and tokens."""
    stored = source.read(_KEY)
    if stored is not None:
        target.write(_KEY, stored)


def read(store: reader.StoreReader) -> tuple[data.Example, ...]:
    """The texts with the key tokens that the store's postings give them now."""
    stored: list[dict[str, Any]] = store.files.read_json(_KEY) or []
    if not stored:
        return ()
    strings = store.tokens()
    return tuple(_example(store, SavedText(**one), strings) for one in stored)


def _example(store: reader.StoreReader, kept: SavedText, strings: list[str]) -> data.Example:
    indices, values = store.ranked_postings(kept.row, kept.row + 1)
    best = indices[0, :_KEY_TOKENS].tolist()
    rank_of = {token: rank for rank, token in enumerate(best)}
    spans, end = [], 0
    for start, stop, token in kept.own:
        # Byte-level tokens of one character share its offsets; the first of them marks it.
        if token in rank_of and end <= start < stop:
            spans.append((start, stop, rank_of[token]))
            end = stop
    in_text = set(store.text_tokens(kept.row, kept.row + 1)[0].tolist())
    return data.Example(
        row=kept.row,
        doc_id=kept.doc_id,
        text=kept.text,
        key_tokens=tuple(
            data.KeyToken(strings[token], float(np.float32(value)), token, token in in_text)
            for token, value in zip(best, values[0], strict=False)
        ),
        spans=tuple(spans),
        truncated=kept.truncated,
        embedded_chars=kept.embedded_chars if kept.embedded_chars < len(kept.text) else None,
        num_chars=kept.num_chars if kept.num_chars > len(kept.text) else 0,
    )
