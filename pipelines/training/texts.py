"""What is trained on: lines of text, and pairs of texts that mean nearly the same."""

import json
from collections.abc import Iterator, Sequence

from keytokens.pipelines import corpus

# The keys of a pair in a JSONL file: sentence-transformers' names, then those of retrieval.
_PAIR_KEYS = (("sentence1", "sentence2"), ("anchor", "positive"), ("query", "document"))


def read_texts(patterns: Sequence[str]) -> list[str]:
    """The documents of a corpus in order; lines that are none are left out, as `align_corpus` would.

    Raises:
      ValueError: nothing matches, or nothing that matches is a document.
    """
    texts = []
    for file in corpus.match_files(patterns):
        for number, line in enumerate(_lines(file), start=1):
            document = corpus.parse_line(line, file=file, row=0, number=number)
            if isinstance(document, corpus.Document):
                texts.append(document.text)
    if not texts:
        raise ValueError(f"{', '.join(patterns)}: no line is a document, so there is nothing to train on.")
    return texts


def read_pairs(patterns: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of TSV files (two columns; further ones are left out) and of JSONL files.

    Raises:
      ValueError: a line that holds no pair, with its place.
    """
    pairs = []
    for file in corpus.match_files(patterns):
        for number, line in enumerate(_lines(file), start=1):
            if not line.strip():
                continue
            try:
                pairs.append(_json_pair(line) if file.format == "jsonl" else _tab_pair(line))
            except ValueError as error:
                raise ValueError(
                    f"{file.path}, line {number}: {error}. A pair is two texts between a tab, or a JSON object with "
                    f"{' or '.join(f'{a!r} and {b!r}' for a, b in _PAIR_KEYS)}."
                ) from error
    if not pairs:
        raise ValueError(f"{', '.join(patterns)}: there is no pair, so there is nothing to train on.")
    return pairs


def _lines(file: corpus.CorpusFile) -> Iterator[bytes]:
    with corpus.open_raw(file.path) as raw:
        yield from corpus.decompressed(raw, file)


def _tab_pair(line: bytes) -> tuple[str, str]:
    columns = [column.strip() for column in line.decode("utf-8").split("\t")]
    if len(columns) < 2 or not all(columns[:2]):
        raise ValueError(f"{len(columns)} columns, or an empty one")
    return columns[0], columns[1]


def _json_pair(line: bytes) -> tuple[str, str]:
    record = json.loads(line)
    for keys in _PAIR_KEYS:
        first, second = (record.get(key) if isinstance(record, dict) else None for key in keys)
        if isinstance(first, str) and isinstance(second, str) and first.strip() and second.strip():
            return first, second
    raise ValueError("no two texts")
