"""TREC run files: one line a retrieved document, `query Q0 document rank score tag`."""

import pathlib
from collections.abc import Mapping, Sequence

Run = Mapping[str, Sequence[tuple[str, float]]]


def write_run(path: pathlib.Path, run: Run, *, tag: str) -> None:
    """Writes a run: of each query the documents, best first, with their scores.

    Raises:
      ValueError: an id holds white space, by which the format separates its columns.
    """
    lines = []
    for query, ranking in run.items():
        for rank, (document, score) in enumerate(ranking, start=1):
            if len(f"{query} {document}".split()) != 2:
                raise ValueError(
                    f"ids {query!r} and {document!r}: a TREC run cannot hold ids with white space in them."
                )
            lines.append(f"{query} Q0 {document} {rank} {score:.17g} {tag}\n")
    path.write_text("".join(lines), "utf-8")


def read_run(path: pathlib.Path) -> dict[str, list[tuple[str, float]]]:
    """Reads a run back, in the order of its lines."""
    found: dict[str, list[tuple[str, float]]] = {}
    for line in path.read_text("utf-8").splitlines():
        query, _, document, _, score, _ = line.split()
        found.setdefault(query, []).append((document, float(score)))
    return found
