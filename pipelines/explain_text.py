"""Shows which tokens an embedder aligns a text with: its key tokens, with their logits, and where they stand in it.

  python -m keytokens.pipelines.explain_text --model=all-minilm-l6-v2 --text='How do I bake sourdough bread at home?'

prints ten key tokens a text, those that the text contains marked by a star, in colour on a terminal; --text may be
repeated. --output writes the same as JSON, --html as a page. Four seconds, most of them loading the model.
"""

import pathlib
from collections.abc import Sequence

from keytokens.pipelines import cli, results
from keytokens.pipelines.explain import colour
from keytokens.pipelines.explain import text as explain_texts

cli.declare_flags(*cli.MODEL_FLAGS, "text", "k", "output", "html")

DEFAULT_K = 10
explain = explain_texts.explain


def main(argv: Sequence[str]) -> None:
    """Prints the key tokens."""
    del argv
    cli.check_output_files()
    config = cli.model_from_flags()
    found = explain(config, cli.given(cli.TEXT), k=cli.K.value or DEFAULT_K)
    print(explain_texts.render(found, on=colour.wanted()))
    cli.write_json_output(results.plain(found))
    if cli.HTML.value:
        from keytokens.pipelines.explain import pages  # here: its figures need matplotlib, which takes 0.7 s

        pathlib.Path(cli.HTML.value).write_text(pages.of_texts(config.name, found), "utf-8")


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["model", "text"])


if __name__ == "__main__":
    run()
