r"""Makes the files that `train_pair` learns from out of free sources: a dictionary, sentences, books.

  python -m keytokens.pipelines.make_pair_corpus --wordnet=synsets.jsonl --sentences='wikipedia*.txt' \
      --books='gutenberg/*.txt' --output_dir=pair_corpus

writes texts.txt (a dictionary entry, sentence or paragraph a line: what the language model reads) and pairs.tsv (two
texts that mean nearly the same: a definition and its example, a word and its definition, a definition and that of its
hypernym, and every sentence with itself). Ten seconds for 25 MB. The same sources make the same bytes.
"""

import json
import pathlib
import random
import re
from collections.abc import Iterator, Sequence

from absl import flags

from keytokens.pipelines import cli, corpus

cli.declare_flags("output_dir")

WORDNET = flags.DEFINE_list(
    "wordnet",
    [],
    "JSON lines of synsets of Open English WordNet, with id, lemmas, definition, examples and hypernyms (ids).",
)
SENTENCES = flags.DEFINE_list("sentences", [], "Text files with a sentence a line; of numbered lines the last column.")
BOOKS = flags.DEFINE_list("books", [], "Text files whose paragraphs are separated by empty lines.")
_SEED = 0
_MIN_PARAGRAPH_CHARS = 80
_MIN_SENTENCE_CHARS = 25
_SENTENCE_END = re.compile(r"(?<=[.?!]) (?=[A-Z])")


def dictionary_entries(synsets: Sequence[dict]) -> Iterator[str]:
    """One line a synset: its words, its definition, its examples."""
    for synset in synsets:
        examples = " ".join(f"{example.rstrip('.')}." for example in synset.get("examples", [])[:3])
        yield f"{', '.join(synset['lemmas'][:4])}: {synset['definition']}. {examples}".rstrip()


def dictionary_pairs(synsets: Sequence[dict]) -> Iterator[tuple[str, str]]:
    """Definition and example, words and definition, definition and the hypernym's definition."""
    by_id = {synset["id"]: synset for synset in synsets}
    for synset in synsets:
        words = ", ".join(synset["lemmas"][:4])
        yield words, synset["definition"]
        for example in synset.get("examples", [])[:2]:
            yield synset["definition"], example
            yield f"{words}: {synset['definition']}", example
        for hypernym in synset.get("hypernyms", [])[:1]:
            if hypernym in by_id:
                yield synset["definition"], by_id[hypernym]["definition"]


def sentences(text: str) -> Iterator[str]:
    """The lines that are long enough to be sentences, without a number in front and the blanks of tokenised text."""
    for line in text.splitlines():
        line = re.sub(r" @([-,.])@ ", r"\1", line.rpartition("\t")[2].strip().replace("<unk>", ""))
        line = re.sub(r" ([,.;:!?)%]|'s\b|n't\b)", r"\1", re.sub(r"([(]) ", r"\1", line))
        if len(line) >= _MIN_SENTENCE_CHARS and not line.startswith("="):
            yield " ".join(line.split())


def paragraphs(text: str) -> Iterator[str]:
    """Blocks between empty lines, their lines joined."""
    for block in re.split(r"\n\s*\n", text):
        if len(joined := " ".join(block.split())) >= _MIN_PARAGRAPH_CHARS:
            yield joined


def main(argv: Sequence[str]) -> None:
    """Writes both files."""
    del argv
    directory = pathlib.Path(cli.given(cli.OUTPUT_DIR))
    directory.mkdir(parents=True, exist_ok=True)
    synsets = [json.loads(line) for text in _read(WORDNET.value) for line in text.splitlines()]
    plain = [sentence for text in _read(SENTENCES.value) for sentence in sentences(text)]
    texts = [*dictionary_entries(synsets), *plain]
    texts += [paragraph for text in _read(BOOKS.value) for paragraph in paragraphs(text)]
    views = [part for sentence in plain for part in _SENTENCE_END.split(sentence) if len(part) >= _MIN_SENTENCE_CHARS]
    pairs = [*dictionary_pairs(synsets), *zip(views, views, strict=True)]
    if not texts:
        raise ValueError("nothing to read: give at least one of --wordnet, --sentences and --books.")
    columns = ["\t".join(map(_one_line, pair)) for pair in pairs]
    for name, lines in (("texts.txt", list(map(_one_line, texts))), ("pairs.tsv", columns)):
        random.Random(_SEED).shuffle(lines)
        (directory / name).write_text("".join(f"{line}\n" for line in lines), "utf-8")
        print(f"{directory / name}: {len(lines):,} lines")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _read(patterns: Sequence[str]) -> Iterator[str]:
    for file in corpus.match_files(patterns) if patterns else ():
        with corpus.open_raw(file.path) as raw:
            yield corpus.decompressed(raw, file).read().decode("utf-8", "replace")


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["output_dir"])


if __name__ == "__main__":
    run()
