"""A collection in BEIR's layout, of the tiny model's words."""

import json
import pathlib
from collections.abc import Mapping

import numpy as np

from tests import tiny_checkpoint


def texts(num_documents: int = 40) -> list[str]:
    """The texts of documents, twelve words each."""
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(tiny_checkpoint.WORDS, 12)) for _ in range(num_documents)]


def write(
    directory: pathlib.Path,
    documents: list[tuple[str, str]],
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
) -> str:
    """Writes the folder and returns its path.

    Args:
      directory: which is made.
      documents: (id, text); ids may repeat.
      queries: id -> text.
      qrels: query id -> document id -> relevance.
    """
    (directory / "qrels").mkdir(parents=True)
    for name, records in (
        ("corpus", [{"_id": doc_id, "title": "", "text": text} for doc_id, text in documents]),
        ("queries", [{"_id": query, "text": text} for query, text in queries.items()]),
    ):
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    lines = [f"{query}\t{name}\t{grade}\n" for query, grades in qrels.items() for name, grade in grades.items()]
    (directory / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    return str(directory)


def halves(directory: pathlib.Path) -> str:
    """Forty documents; a query asks for the first half of the words of one of them. Five of six queries are judged."""
    documents = texts()
    return write(
        directory,
        [(f"d{i}", text) for i, text in enumerate(documents)],
        {f"q{i}": " ".join(documents[i].split()[:6]) for i in range(6)},
        {f"q{i}": {f"d{i}": 2, f"d{i + 10}": 0} for i in range(5)},
    )
