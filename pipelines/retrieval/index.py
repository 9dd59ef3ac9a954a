"""`Index`: what searches. Opens the index of a store once and answers batches of queries.

N documents, F columns, V vocabulary, D hidden size.
"""

import functools
from collections.abc import Sequence

import numpy as np

from keytokens import models
from keytokens.pipelines import store_model
from keytokens.pipelines.retrieval import checks, engine, index_run, postings, queries
from keytokens.pipelines.retrieval.hits import Hit, MatchedToken, Ranking
from keytokens.pipelines.retrieval.options import IndexOptions, QueryOptions
from keytokens.pipelines.store import reader, schema, strings

_EXPLAINED = 8


class Index:
    """A store's inverted index, open.

    Attributes:
      store: reader of the store.
      options: with which the index was built.
      postings: its lists.
    """

    def __init__(self, url: str, *, memory: str = "load", model: models.EmbedderConfig | None = None):
        self.store = reader.StoreReader(url)
        self.postings = postings.Postings(self.store.files, memory=memory)
        described = self.postings.attributes["described"]
        self.options = IndexOptions(**described["options"])
        if described != index_run.describe(self.store, self.options):
            raise ValueError(
                f"the index of {self.store.files.url} is of an earlier store. Build it again with --replace."
            )
        self.num_documents = int(self.postings.attributes["num_documents"])
        self._model, self._memory = model, memory
        self._alive = ~self.store.column("dead_letter")

    @classmethod
    def open(cls, url: str, *, memory: str = "load", model: models.EmbedderConfig | None = None) -> "Index":
        """Opens the index of the store at `url`.

        Args:
          url: local path or kvstore URL.
          memory: "load" holds the index in memory, "stored" reads the lists that each query touches.
          model: the store's embedder, where its recorded name no longer finds it.

        Raises:
          ValueError: no store, no index, or another embedder.
        """
        return cls(url, memory=memory, model=model)

    def search(
        self,
        texts: Sequence[str] | str,
        k: int = 10,
        *,
        options: QueryOptions | None = None,
        explained: int = _EXPLAINED,
    ) -> list[list[Hit]]:
        """The k best documents of each query, best first, with the tokens that made them so.

        Args:
          texts: queries.
          k: hits a query.
          options: how; sparse search with the measured defaults if None.
          explained: matched tokens shown a hit.

        Raises:
          ValueError: an empty query, k below 1, or a mode that this index was not built for.
        """
        options = options or QueryOptions()
        if isinstance(texts, str):
            texts = [texts]
        return [
            self.explain(vector, self.rank(vector, k, options), options, explained=explained)
            for vector in self.encode(texts, options)
        ]

    def encode(self, texts: Sequence[str], options: QueryOptions) -> list[queries.QueryVector]:
        """The queries as vectors: the part of a search that takes the model."""
        checks.check_search(self.store, self.options, options)
        return self._encoder.encode(texts, options)

    def rank(self, vector: queries.QueryVector, k: int, options: QueryOptions) -> Ranking:
        """The k best rows of an encoded query, exactly; rows that share no token with it are left out."""
        if k < 1:
            raise ValueError(f"k={k}: a search returns at least one document.")
        if options.mode == "dense":
            return self._rank_dense(vector, k)
        scores, touched = self.scores(vector, options)
        rows = engine.best(scores, k, allowed=np.isfinite(scores))
        return Ranking(rows, scores[rows], touched)

    def scores(self, vector: queries.QueryVector, options: QueryOptions) -> tuple[np.ndarray, int]:
        """Scores of all documents, float64 [N], -inf where nothing matches; and how many postings were read."""
        total, touched = np.zeros(self.store.dims.num_rows), 0
        for columns, weights in self.fields(vector, options):
            gathered = self.postings.gather(columns)
            scores = engine.accumulate(gathered, weights, self.store.dims.num_rows)
            touched += len(gathered.rows)
            total += scores / self._spread(scores) if options.mode == "fused" else scores
        return np.where(self._alive & (total > 0), total, -np.inf), touched

    def fields(self, vector: queries.QueryVector, options: QueryOptions) -> list[tuple[np.ndarray, np.ndarray]]:
        """Columns and weights of what is traversed: key tokens, literal tokens, or both; summed as the index is."""
        key, literal = (vector.key_columns, vector.key_weights), (vector.literal_columns, vector.literal_weights)
        if self.options.literal == "summed":
            halves = [(c, w / max(float(np.linalg.norm(w)), 1e-12)) for c, w in (key, literal)]
            columns, place = np.unique(np.concatenate([c for c, _ in halves]), return_inverse=True)
            return [(columns, np.bincount(place, np.concatenate([w for _, w in halves])).astype(np.float32))]
        return {"sparse": [key], "bm25": [literal], "fused": [key, literal]}[options.mode]

    def explain(
        self, vector: queries.QueryVector, ranking: Ranking, options: QueryOptions, *, explained: int = _EXPLAINED
    ) -> list[Hit]:
        """The hits of a ranking, each with its heaviest matched tokens."""
        matched: list[list[tuple[int, float]]] = [[] for _ in ranking.rows]
        if options.mode != "dense" and explained:
            matched = self._matched(vector, ranking.rows, options)
        hits = []
        for row, score, tokens in zip(ranking.rows.tolist(), ranking.scores.tolist(), matched, strict=True):
            total = sum(value for _, value in tokens)
            top = sorted(tokens, key=lambda item: (-item[1], item[0]))[:explained]
            why = tuple(self._matched_token(column, value / total) for column, value in top)
            hits.append(Hit(self.doc_id(row), row, score, why, len(tokens)))
        return hits

    def doc_id(self, row: int) -> str:
        """The id of a row."""
        return self._chunk_of_ids(row // self.store.dims.shard_rows)[row % self.store.dims.shard_rows]

    @functools.lru_cache(maxsize=256)  # noqa: B019 (an index lives as long as its process)
    def _chunk_of_ids(self, index: int) -> list[str]:
        return strings.read_chunk(self.store.files, schema.DOC_ID, index)

    @functools.cached_property
    def num_repeated(self) -> int:
        """How many rows have the id of an earlier row: so many more must be ranked for a number of distinct ids."""
        return int(self.store.column("duplicate_id").sum())

    @functools.cached_property
    def tokens(self) -> list[str]:
        """The vocabulary, [V]."""
        return self.store.tokens()

    @functools.cached_property
    def _encoder(self) -> queries.QueryEncoder:
        config = (
            store_model.config_of(self.store) if self._model is None else checks.same_model(self.store, self._model)
        )
        return queries.QueryEncoder(self.store.files, config, self.postings)

    def _spread(self, scores: np.ndarray) -> float:
        """The standard deviation of a field's scores over the documents; 1 where all are equal."""
        return float(scores[self._alive].std()) or 1.0

    def _matched(self, vector, rows: np.ndarray, options: QueryOptions) -> list[list[tuple[int, float]]]:
        """Of every row, the columns that it shares with the query and what each adds to its score."""
        found: list[list[tuple[int, float]]] = [[] for _ in rows]
        place = {row: i for i, row in enumerate(rows.tolist())}
        for columns, weights in self.fields(vector, options):
            gathered = self.postings.gather(columns)
            spread = 1.0
            if options.mode == "fused":
                spread = self._spread(engine.accumulate(gathered, weights, self.store.dims.num_rows))
            at = np.flatnonzero(np.isin(gathered.rows, rows))
            values = gathered.impacts[at] * weights[gathered.list_of[at]] / spread
            for row, column, value in zip(
                gathered.rows[at].tolist(), columns[gathered.list_of[at]].tolist(), values.tolist(), strict=True
            ):
                found[place[row]].append((column, value))
        return found

    def _matched_token(self, column: int, share: float) -> MatchedToken:
        vocab_size = self.store.dims.vocab_size
        return MatchedToken(self.tokens[column % vocab_size], column >= vocab_size, share)

    def _rank_dense(self, vector: queries.QueryVector, k: int) -> Ranking:
        assert vector.embedding is not None
        scores = np.concatenate([block @ vector.embedding for block in self._unit_blocks()]).astype(np.float64)
        rows = engine.best(scores, k, allowed=self._alive)
        return Ranking(rows, scores[rows], 0)

    def _unit_blocks(self):
        if self._memory == "load":
            yield self._unit_embeddings
            return
        for row0, row1 in self.store.shards():
            yield _unit(self.store.embeddings(row0, row1))

    @functools.cached_property
    def _unit_embeddings(self) -> np.ndarray:
        return _unit(self.store.embeddings(0, self.store.dims.num_rows))


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
