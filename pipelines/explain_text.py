"""Shows which tokens an embedder aligns a text with: its key tokens, with their logits, in the terminal.

  python -m keytokens.pipelines.explain_text --model=all-minilm-l6-v2 --text='How do I bake sourdough bread at home?'

prints ten key tokens a text, those that the text contains marked by a star; --text may be repeated, --output writes the
same as JSON. Two seconds, most of them loading the model.
"""

import dataclasses
from collections.abc import Sequence

from absl import flags

from keytokens import models
from keytokens.pipelines import cli, encoder
from keytokens.pipelines.report import data, examples, terminal

cli.declare_flags(*cli.MODEL_FLAGS, "k", "output")

TEXT = flags.DEFINE_multi_string("text", None, "The text to explain; may be given several times.")
DEFAULT_K = 10


def explain(config: models.EmbedderConfig, texts: Sequence[str], *, k: int) -> list[data.Example]:
    """The k key tokens of each text.

    Raises:
      ValueError: k outside the vocabulary, or an empty text.
    """
    if not 1 <= k <= config.vocab_size:
        raise ValueError(f"--k={k} must be between 1 and the {config.vocab_size} tokens of {config.name}.")
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise ValueError(f"--text number {number} is empty; an empty text has no key tokens.")
    loaded = encoder.shared_encoder(config)
    embedded = loaded.embed(texts)
    aligned = loaded.align(embedded.hidden, k)
    return [
        examples.make_example(
            row=row,
            doc_id=f"text {row + 1}",
            text=text,
            tokens=embedded.tokens[row],
            indices=aligned.indices[row],
            values=aligned.values[row],
            token_strings=loaded.embedder.token_strings,
        )
        for row, text in enumerate(texts)
    ]


def main(argv: Sequence[str]) -> None:
    """Prints the key tokens."""
    del argv
    k = cli.K.value or DEFAULT_K
    found = explain(cli.model_from_flags(), cli.given(TEXT), k=k)
    print(terminal.render_examples(found, shown_tokens=k))
    cli.write_json_output([dataclasses.asdict(example) for example in found])


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["model", "text"])


if __name__ == "__main__":
    run()
