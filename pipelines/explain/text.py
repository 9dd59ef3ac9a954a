"""The key tokens of texts: computed, and on a terminal."""

from collections.abc import Sequence

import numpy as np

from keytokens import models
from keytokens.pipelines import encoder, tables
from keytokens.pipelines.explain import colour
from keytokens.pipelines.report import data, examples, terminal

_BAR_COLUMNS = 16


def explain(config: models.EmbedderConfig, texts: Sequence[str], *, k: int) -> list[data.Example]:
    """The k key tokens of each text.

    Raises:
      ValueError: k outside the vocabulary, or an empty text.
    """
    check(config, texts, k=k)
    return decode(encoder.shared_encoder(config), texts, k=k)[0]


def decode(loaded: encoder.Encoder, texts: Sequence[str], *, k: int) -> tuple[list[data.Example], np.ndarray]:
    """The same by an embedder that is loaded, with the embeddings float32 [n, D]."""
    embedded = loaded.embed(texts)
    aligned = loaded.align(embedded.hidden, k)
    found = [
        examples.make_example(
            row=row,
            doc_id=f"text {row + 1}",
            text=text,
            tokens=embedded.tokens[row],
            indices=aligned.indices[row],
            values=aligned.values[row],
            token_strings=loaded.embedder.token_strings,
            shown_chars=len(text),
        )
        for row, text in enumerate(texts)
    ]
    return found, embedded.hidden


def check(config: models.EmbedderConfig, texts: Sequence[str], *, k: int, flag: str = "--text") -> None:
    """Refuses what has no k key tokens.

    Raises:
      ValueError: k outside the vocabulary, or an empty text.
    """
    if not 1 <= k <= config.vocab_size:
        raise ValueError(f"--k={k} must be between 1 and the {config.vocab_size} tokens of {config.name}.")
    check_texts(texts, flag=flag)


def check_texts(texts: Sequence[str], *, flag: str = "--text") -> None:
    """Refuses texts without key tokens, before any model is read.

    Raises:
      ValueError: one of them is empty.
    """
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise ValueError(f"{flag} number {number} is empty; an empty text has no key tokens. Leave it out.")


def render(found: Sequence[data.Example], *, on: bool) -> str:
    """Each text with its key tokens highlighted in it, then listed: rank, token, logit, bar; `*` stands in the text."""
    weights = [token.weight for example in found for token in example.key_tokens]
    low, high = min([0.0, *weights]), max([0.0, *weights])
    parts = []
    for example in found:
        lines = [
            f"{colour.paint(example.doc_id, 'bold', on=on)}: {colour.highlighted(example.text, example.spans, on=on)}"
        ]
        if example.truncated:
            lines.append(colour.paint("longer than the model reads: its end was not embedded", "soft", on=on))
        names = [terminal.token_name(token.token) for token in example.key_tokens]
        width = max([tables.width_of(name) for name in names], default=0)
        for rank, (name, token) in enumerate(zip(names, example.key_tokens, strict=True), start=1):
            share = (token.weight - low) / (high - low) if high > low else 0.0
            style = "own" if token.in_text else "added"
            lines.append(
                f"  {rank:>3} {'*' if token.in_text else ' '}{colour.column(name, width, style, on=on)}  "
                f"{token.weight:8.3f}  {colour.paint(colour.bar(share, _BAR_COLUMNS), style, on=on)}"
            )
        parts.append("\n".join(lines))
    legend = "* stands in the text; the others are the model's own"
    return "\n\n".join([*parts, colour.paint(legend, "soft", on=on)])
