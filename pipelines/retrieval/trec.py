"""TREC run files: one line a retrieved document, `query Q0 document rank score tag`."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence

Run = Mapping[str, Sequence[tuple[str, float]]]


def check_ids(ids: Iterable[str], *, whose: str, cure: str) -> None:
    """Raises ValueError for an id that a run cannot hold: to be asked before the work, not when the run is written.

    Args:
      ids: of queries or documents.
      whose: what the message calls one of them.
      cure: what the message advises.
    """
    for name in ids:
        if name.split() != [name]:
            raise ValueError(
                f"{whose} {name!r}: an id in a TREC run must not be empty or hold white space, by which the format "
                f"separates its columns; nobody could read the run. {cure}"
            )


def write_run(path: pathlib.Path, run: Run, *, tag: str) -> None:
    """Writes a run: of each query the documents, best first, with their scores.

    Raises:
      ValueError: an id is empty or holds white space.
    """
    lines = []
    check_ids(run, whose="query", cure="Rename it.")
    for query, ranking in run.items():
        check_ids((document for document, _ in ranking), whose="document", cure="Rename it.")
        for rank, (document, score) in enumerate(ranking, start=1):
            lines.append(f"{query} Q0 {document} {rank} {score:.17g} {tag}\n")
    path.write_text("".join(lines), "utf-8")


def read_run(path: pathlib.Path) -> dict[str, list[tuple[str, float]]]:
    """Reads a run back, in the order of its lines."""
    found: dict[str, list[tuple[str, float]]] = {}
    for line in path.read_text("utf-8").splitlines():
        query, _, document, _, score, _ = line.split()
        found.setdefault(query, []).append((document, float(score)))
    return found
