r"""Shows how instructions change what an embedder says of a text: key tokens under each, and which tokens moved most.

  python -m keytokens.pipelines.explain_instruction --model=all-minilm-l6-v2 --text='My laptop does not turn on.' \
      --instruction='What is the topic?' --instruction='What is the feeling of the writer?'

puts each instruction where the embedder's recipe has a place for one (E5-Mistral, GritLM, Qwen3-Embedding, LLM2Vec)
and before the text where it has none, which it says. Moves are of the logits of h / |h|, against no instruction.
Seconds; of an embedder trained on instructions expect most key tokens to change, of any other few. --output writes
JSON, --html a page.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from keytokens.pipelines import cli, results
from keytokens.pipelines.explain import colour, instruction

cli.declare_flags(*cli.MODEL_FLAGS, "text", "k", "output", "html")

INSTRUCTION = flags.DEFINE_multi_string("instruction", None, "What the embedder is told; may be given several times.")
DEFAULT_K = 10


def main(argv: Sequence[str]) -> None:
    """Explains the text."""
    del argv
    cli.check_output_files()
    texts = cli.given(cli.TEXT)
    if len(texts) != 1:
        raise ValueError(f"{len(texts)} texts were given; one --text is explained under several instructions.")
    config = cli.model_from_flags()
    found = instruction.explain(config, texts[0], cli.given(INSTRUCTION), k=cli.K.value or DEFAULT_K)
    print(instruction.render(found, on=colour.wanted()))
    cli.write_json_output(results.plain(found))
    if cli.HTML.value:
        from keytokens.pipelines.explain import pages  # here: its figures need matplotlib, which takes 0.7 s

        pathlib.Path(cli.HTML.value).write_text(pages.of_instructions(config.name, found), "utf-8")


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["model", "text", "instruction"])


if __name__ == "__main__":
    run()
