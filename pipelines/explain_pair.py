r"""Shows what two texts share: their common key tokens, and how much of their similarity each of them carries.

  python -m keytokens.pipelines.explain_pair --model=all-minilm-l6-v2 --text='A man is playing a guitar.' \
      --other='Somebody plays an instrument.'

prints the cosine as an exact sum over the key tokens of both texts and what none of them says (approximate, and said
so, where the head is not linear). --scored_pairs=FILE, repeated for several, asks of files of pairs whether shared key
tokens rank them as people's scores do; give files of relatedness and of similarity to tell the two apart:

  python -m keytokens.pipelines.explain_pair --model=all-minilm-l6-v2 --scored_pairs=EN-WS-353-REL.txt \
      --scored_pairs=EN-WS-353-SIM.txt

Five seconds for a pair, a minute for a thousand scored pairs. all-minilm-l6-v2: Spearman 0.58 with relatedness, 0.72
with similarity in WordSim-353, by overlap alone. --output writes JSON, --html a page.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from keytokens.pipelines import cli, results, tables
from keytokens.pipelines.explain import colour, pair, scored_pairs

cli.declare_flags(*cli.MODEL_FLAGS, "text", "k", "output", "html")

OTHER = flags.DEFINE_string("other", None, "The second text; --text is the first.")
SCORED_PAIRS = flags.DEFINE_multi_string(
    "scored_pairs", [], "A tab-separated file of pairs with people's scores; may be given several times."
)
PAIR_COLUMNS = flags.DEFINE_list("pair_columns", ["1", "2", "3"], "Columns of both texts and the score, from 1.")
DEFAULT_K, DEFAULT_K_OF_SCORES = 20, 100


def render_agreement(found: Sequence[scored_pairs.GoldAgreement], k: int) -> str:
    """The rank correlations for people."""
    body = [
        [one.name, f"{one.cosine.count:,}", str(one.cosine), str(one.overlap), str(one.weighted_overlap)]
        for one in found
    ]
    header = ["Spearman with gold scores", "pairs", "cosine", f"Jaccard@{k}", f"weighted Jaccard@{k}"]
    return tables.aligned(header, body)


def columns_from_flags() -> list[int]:
    """The columns of scored pairs.

    Raises:
      ValueError: one of them is no number.
    """
    if not all(column.isdecimal() for column in PAIR_COLUMNS.value):
        raise ValueError(f"--pair_columns={','.join(PAIR_COLUMNS.value)} must be numbers from 1: text, text, score.")
    return [int(column) for column in PAIR_COLUMNS.value]


def main(argv: Sequence[str]) -> None:
    """Explains the pair, correlates the files."""
    del argv
    cli.check_output_files()
    texts = cli.TEXT.value or []
    if (len(texts) != 1 or not OTHER.value) and not (SCORED_PAIRS.value and not texts and not OTHER.value):
        raise ValueError("a pair is one --text and one --other; without either give --scored_pairs=FILE.")
    columns = columns_from_flags()
    sets = [scored_pairs.read(path, columns) for path in SCORED_PAIRS.value]
    config = cli.model_from_flags()
    explained = None
    if texts:
        explained = pair.explain(config, texts[0], cli.given(OTHER), k=cli.K.value or DEFAULT_K)
        print(pair.render(explained, on=colour.wanted()))
    k = min(cli.K.value or DEFAULT_K_OF_SCORES, config.vocab_size)
    agreements = [scored_pairs.agreement(config, one, k=k) for one in sets]
    if agreements:
        print(render_agreement(agreements, k))
    cli.write_json_output(results.plain({"pair": explained, "scored_pairs": agreements}))
    if cli.HTML.value:
        from keytokens.pipelines.explain import pages  # here: its figures need matplotlib, which takes 0.7 s

        html = (
            pages.of_pair(config.name, explained, agreements)
            if explained is not None
            else pages.of_agreement(config.name, agreements)
        )
        pathlib.Path(cli.HTML.value).write_text(html, "utf-8")


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["model"])


if __name__ == "__main__":
    run()
