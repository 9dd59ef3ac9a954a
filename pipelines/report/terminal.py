"""Key tokens on a terminal: a text a paragraph, its key tokens below, those that stand in the text marked by a star."""

import textwrap
from collections.abc import Iterable, Mapping

from keytokens import models
from keytokens.pipelines.report.data import Example

_WIDTH = 100
_TEXT_CHARS = 180


def render_examples(examples: Iterable[Example], *, shown_tokens: int = 10) -> str:
    """The examples as lines; `*` stands before a key token that the text itself contains."""
    return "\n\n".join(_render(example, shown_tokens) for example in examples)


def _render(example: Example, shown_tokens: int) -> str:
    doc_id, text = (" ".join(printable(given).split()) for given in (example.doc_id, example.text))
    tokens = "  ".join(
        f"{'*' if token.in_text else ''}{token_name(token.token)} {token.weight:.1f}"
        for token in example.key_tokens[:shown_tokens]
    )
    lines = textwrap.wrap(f"{doc_id}: {textwrap.shorten(text, _TEXT_CHARS, placeholder=' ...')}", _WIDTH)
    return "\n".join([*lines, textwrap.fill(tokens, _WIDTH, initial_indent="  -> ", subsequent_indent="     ")])


def printable(text: str) -> str:
    """The text without control characters and lone surrogates, which would break a terminal."""
    return "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)


def token_name(token: str) -> str:
    """The token as people read it, without the space before it; as spelled where nothing else is left."""
    return printable(models.render_token(token)).strip() or printable(token)


def render_summary(output: str, counts: Mapping[str, int], report: str) -> str:
    """What was written, in a few lines."""
    lines = [
        f"{counts['rows']:,} rows: {counts['embedded']:,} embedded, {counts['dead_letters']:,} dead letters "
        f"(run/dead_letters), {counts['truncated']:,} truncated, {counts['duplicate_ids']:,} repeated ids",
        f"store:  {output}",
        f"report: {report}",
    ]
    return "\n" + "\n".join(lines)
