"""Which texts are embedded? Files of the user's, or Python's own documentation, which every machine has."""

import dataclasses
import itertools
import json
import pathlib
import random
import re
import sysconfig
from collections.abc import Iterator, Sequence

_SHORT_WORDS = range(6, 26)
_MEDIUM_WORDS = range(100, 251)
_LONGEST_WORDS = 400


@dataclasses.dataclass(frozen=True)
class Workload:
    """Texts to embed, in memory and on disk.

    Attributes:
      name: of the table.
      source: where the texts come from.
      texts: not empty.
      path: the same as JSON lines, for what starts from a file.
    """

    name: str
    source: str
    texts: tuple[str, ...]
    path: pathlib.Path

    @property
    def num_words(self) -> int:
        """White-space separated words of all texts."""
        return sum(len(text.split()) for text in self.texts)


def write(name: str, source: str, texts: Sequence[str], directory: pathlib.Path) -> Workload:
    """The workload, with its JSON lines written below `directory`."""
    path = directory / f"{name}.jsonl"
    lines = (json.dumps({"_id": f"t{row}", "text": text}) for row, text in enumerate(texts))
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return Workload(name, source, tuple(texts), path)


def read_texts(path: pathlib.Path) -> list[str]:
    """The texts of a file: JSON lines with `text` and perhaps `title` if it is called .jsonl, else a text a line.

    Raises:
      ValueError: there is none.
    """
    lines = path.read_text("utf-8").splitlines()
    if path.suffix == ".jsonl":
        records = [json.loads(line) for line in lines if line.strip()]
        lines = [" ".join(part for part in (record.get("title"), record["text"]) if part) for record in records]
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise ValueError(f"{path} holds no text; there is nothing to embed. Give a text a line, or JSON lines.")
    return texts


def sample(texts: Sequence[str], *, num_texts: int, num_words: int) -> list[str]:
    """Texts in a fixed random order, until there are enough of them or of their words; at least one."""
    order = random.Random(0).sample(list(texts), len(texts))
    words = itertools.accumulate(len(text.split()) for text in order)
    fitting = sum(total <= num_words for total in words)
    return order[: max(1, min(num_texts, fitting))]


def from_python_documentation() -> dict[str, list[str]]:
    """Workload -> texts: sentences, passages of 100 to 250 words, and both among paragraphs and whole articles."""
    # Imported here: a process that measures a rival's memory must not load ours.
    from keytokens.pipelines import make_demo_corpus

    root = pathlib.Path(sysconfig.get_path("stdlib"))
    articles = [
        paragraphs
        for _, text in itertools.chain(make_demo_corpus.topic_texts(), make_demo_corpus.docstrings(root))
        if (paragraphs := make_demo_corpus.paragraphs(text))
    ]
    paragraphs = list(dict.fromkeys(itertools.chain.from_iterable(articles)))
    sentences = [part for text in paragraphs for part in re.split(r"(?<=[.?!]) (?=[A-Z])", text)]
    short = [text for text in dict.fromkeys(sentences) if len(text.split()) in _SHORT_WORDS]
    passages = [text for article in articles for text in _passages(article, _MEDIUM_WORDS.start)]
    medium = [text for text in dict.fromkeys(passages) if len(text.split()) in _MEDIUM_WORDS]
    whole = [" ".join(text.split()[:_LONGEST_WORDS]) for text in map(" ".join, articles)]
    each = min(map(len, (short, medium, paragraphs, whole)))
    mixed = [text for kind in (short, medium, paragraphs, whole) for text in random.Random(0).sample(kind, each)]
    return {"short": short, "medium": medium, "mixed": list(dict.fromkeys(mixed))}


def _passages(paragraphs: Sequence[str], num_words: int) -> Iterator[str]:
    """Neighbouring paragraphs joined until they have this many words."""
    passage: list[str] = []
    for paragraph in paragraphs:
        passage += paragraph.split()
        if len(passage) >= num_words:
            yield " ".join(passage)
            passage = []
