"""What was asked and what was found: hits to show, a run to judge, and how long it took."""

import dataclasses
import time
from typing import Any

import numpy as np

from keytokens.pipelines.retrieval import runs
from keytokens.pipelines.retrieval.hits import Hit, Ranking
from keytokens.pipelines.retrieval.index import Index
from keytokens.pipelines.retrieval.options import QueryOptions


@dataclasses.dataclass
class Answers:
    """The queries answered so far.

    Attributes:
      hits: query -> documents, best first; rows of one id are documents of their own, as they have texts of their own.
      run: query -> (document id, score), each id once, at its best row.
      encoding_sec: of all queries together.
      search_sec: of each query.
    """

    hits: dict[str, list[Hit]] = dataclasses.field(default_factory=dict)
    run: dict[str, list[tuple[str, float]]] = dataclasses.field(default_factory=dict)
    encoding_sec: float = 0.0
    search_sec: list[float] = dataclasses.field(default_factory=list)

    def ask(
        self, index: Index, texts: dict[str, str], options: QueryOptions, *, num_hits: int, num_matched: int
    ) -> None:
        """Adds the answers of some queries.

        Args:
          index: to search.
          texts: id -> text.
          options: how.
          num_hits: documents a query.
          num_matched: matched tokens shown a hit.
        """
        start = time.perf_counter()
        vectors = index.encode(list(texts.values()), options)
        self.encoding_sec += time.perf_counter() - start
        for name, vector in zip(texts, vectors, strict=True):
            start = time.perf_counter()
            ranking = index.rank(vector, num_hits + index.num_repeated, options)
            self.search_sec.append(time.perf_counter() - start)
            shown = Ranking(ranking.rows[:num_hits], ranking.scores[:num_hits], ranking.postings)
            self.hits[name] = index.explain(vector, shown, options, explained=num_matched)
            self.run[name] = runs.distinct(runs.named(index, ranking), num_hits)

    def timing(self) -> dict[str, Any]:
        """Milliseconds of encoding a query, and of searching: median, 95th, 99th percentile."""
        median, high, highest = (1000 * float(value) for value in np.percentile(self.search_sec, (50, 95, 99)))
        return {
            "encoding_msec_per_query": 1000 * self.encoding_sec / len(self.search_sec),
            "search_queries_per_sec": len(self.search_sec) / sum(self.search_sec),
            "search_msec": {"median": median, "p95": high, "p99": highest},
        }
