"""From ranked rows to a run: documents by their ids, each once.

A store may hold several rows of one id, each with its own text; it flags the later ones. Judgements, TREC runs and MTEB
know ids only, and of a repeated one they take the last, which is the worse. Here the best row of an id stands for it,
and rankings are made deeper by as many rows as may fall away.
"""

from collections.abc import Iterable, Iterator

from keytokens.pipelines.retrieval.hits import Ranking
from keytokens.pipelines.retrieval.index import Index


def named(index: Index, ranking: Ranking) -> Iterator[tuple[str, float]]:
    """(document id, score) of the ranked rows, best first; ids are read as they are asked for."""
    for row, score in zip(ranking.rows.tolist(), ranking.scores.tolist(), strict=True):
        yield index.doc_id(row), score


def distinct(hits: Iterable[tuple[str, float]], depth: int, *, without: str | None = None) -> list[tuple[str, float]]:
    """The first `depth` hits of different ids, in their order.

    Args:
      hits: (document id, score), best first.
      depth: at least 1.
      without: an id that is left out, wherever it stands.
    """
    found: dict[str, float] = {}
    for name, score in hits:
        if name != without and name not in found:
            found[name] = score
            if len(found) == depth:
                break
    return list(found.items())
