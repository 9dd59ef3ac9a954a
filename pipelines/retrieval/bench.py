"""One collection in memory, its embeddings decoded once per embedding map: what any options would retrieve from it.

n documents, k key tokens.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from keytokens import models
from keytokens.pipelines import encoder
from keytokens.pipelines.analysis import bm25, ragged, sparse_coding
from keytokens.pipelines.retrieval import beir, decoding, engine, evaluation, runs, weighting
from keytokens.pipelines.retrieval.options import IndexOptions, QueryOptions
from keytokens.pipelines.retrieval.postings import Gathered
from keytokens.pipelines.store import reader

MOST_DOCUMENT_TOKENS, MOST_QUERY_TOKENS = 1000, 4096
_DEPTH = 100


class Bench:
    """One collection, its embeddings decoded once per map; measured as `evaluation.evaluate` does.

    Attributes:
      hidden: embeddings of the documents as the store holds them, not of unit length, float32 [n, D].
      alive: which of them have one, bool [n].
      head: [V, D].
      queries: encoded.
    """

    def __init__(self, config: models.EmbedderConfig, collection: beir.Collection, store: reader.StoreReader):
        self._collection, self._store = collection, store
        self._loaded = encoder.shared_encoder(config)
        self._num_rows = store.dims.num_rows
        self._ids = list(store.doc_ids())
        self.hidden = store.embeddings(0, self._num_rows)
        self.alive = ~store.column("dead_letter")
        self._depth_rows = _DEPTH + int(store.column("duplicate_id").sum()) + bool(collection.in_corpus)
        self.head = decoding.head_matrix(self._loaded)
        self.queries = self._loaded.embed(list(collection.queries.values()), query=True)
        self._own = [np.unique(tokens.ids[tokens.text], return_counts=True) for tokens in self.queries.tokens]

    def dense(self) -> dict[str, float]:
        """Cosine."""
        unit = weighting.unit_rows(self.hidden)
        return self._measured(list(weighting.unit_rows(self.queries.hidden) @ unit.T), 0.0)

    def literal(self) -> dict[str, float]:
        """BM25 over the texts' own tokens."""
        tokens: ragged.Ragged = self._store.text_tokens(0, self._num_rows)
        vocab_size = self._store.dims.vocab_size
        keys, counts = np.unique(tokens.ids.astype(np.int64) * self._num_rows + tokens.rows, return_counts=True)
        columns, rows = keys // self._num_rows, keys % self._num_rows
        df, documents = np.bincount(columns, minlength=vocab_size), int(self.alive.sum())
        impacts = bm25.impacts(
            counts,
            tokens.lengths[rows],
            bm25.idf(df, documents)[columns],
            mean_length=tokens.lengths.sum() / documents,
        )
        lists = Lists(columns, rows, impacts, vocab_size)
        return self.ranked(lists, [(ids, counts.astype(np.float32)) for ids, counts in self._own])

    def measure(self, index: IndexOptions, query: QueryOptions) -> dict[str, float]:
        """What an index and queries of these options find."""
        key = dataclasses.replace(IndexOptions(), decoding=index.decoding, centred=index.centred)
        decoded = self._decoded(dataclasses.replace(key, without_first=index.without_first))
        lists = self._lists(index, decoded)
        documents = int(self.alive.sum())
        queries = []
        for i, (own, _) in enumerate(self._own):
            ids, weights = (
                decoded.query_ids[i, : query.m],
                weighting.weigh(decoded.query_logits[i, : query.m], index.weighting),
            )
            ids, weights = ids[weights > 0], weights[weights > 0]
            if query.literal_weight:
                added = np.full(len(own), query.literal_weight * weights.max(initial=1e-9), np.float32)
                ids, place = np.unique(np.concatenate([ids, own]), return_inverse=True)
                weights = np.bincount(place, np.concatenate([weights, added])).astype(np.float32)
            weights = np.ones_like(weights) if query.unit_weights else weights
            queries.append((ids, weights * bm25.idf(lists.lengths[ids], documents) ** query.idf_power))
        return self.ranked(lists, queries)

    @functools.lru_cache(maxsize=1)  # noqa: B019 (a bench lives as long as its collection is looked at)
    def _decoded(self, options: IndexOptions) -> "_Decoded":
        found = decoding.make_map(options, self.head, self._store.merged_moments().f)
        decoder = decoding.Decoder.of(self._loaded, found)
        vocab_size = self._store.dims.vocab_size
        documents = decoder.decode(self.hidden, min(MOST_DOCUMENT_TOKENS, vocab_size))
        queries = decoder.decode(self.queries.hidden, min(MOST_QUERY_TOKENS, vocab_size))
        return _Decoded(*documents, *queries, found)

    def _lists(self, options: IndexOptions, decoded: "_Decoded") -> "Lists":
        indices = decoded.ids[:, : options.k]
        weights = weighting.weigh(decoded.logits[:, : options.k], options.weighting) * self.alive[:, None]
        if options.in_text_only:
            tokens = self._store.text_tokens(0, self._num_rows)
            for row in range(self._num_rows):
                weights[row, ~np.isin(indices[row], tokens[row])] = 0
        if options.normalize == "euclidean":
            weights = weighting.unit_rows(weights)
        elif options.normalize == "reconstruction":
            vectors = sparse_coding.reconstructions(
                indices, weights, self.head, decoded.map.matrix, decoded.map.mean_row
            )
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            weights = np.divide(weights, lengths, out=np.zeros_like(weights), where=lengths > 0)
        rows, rank = np.nonzero(weights)
        columns, impacts = indices[rows, rank], weights[rows, rank]
        df = np.bincount(columns, minlength=self._store.dims.vocab_size)
        kept = (df <= options.hub_share * self.alive.sum())[columns]
        if options.max_postings:
            order = np.lexsort((rows, -impacts, columns))
            starts = np.concatenate([[0], np.cumsum(df)])
            place = np.empty(len(order), np.int64)
            place[order] = np.arange(len(order)) - starts[columns[order]]
            kept &= place < options.max_postings
        if options.impacts == "uint8":
            scale = float(impacts.max()) / 255
            impacts = weighting.quantise(impacts, scale) * np.float32(scale)
        return Lists(columns[kept], rows[kept], impacts[kept], self._store.dims.vocab_size)

    def ranked(self, lists: "Lists", queries: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
        """What queries, each columns and weights, find in these lists."""
        scores, touched = [], []
        for ids, weights in queries:
            gathered = lists.gather(ids)
            touched.append(len(gathered.rows))
            scores.append(engine.accumulate(gathered, weights, self._num_rows))
        return self._measured(scores, float(np.mean(touched)))

    def _measured(self, scores: Sequence[np.ndarray], postings: float) -> dict[str, float]:
        run = {}
        for query, score in zip(self._collection.queries, scores, strict=True):
            best = engine.best(score, self._depth_rows, allowed=self.alive)
            hits = ((self._ids[row], float(score[row])) for row in best.tolist())
            run[query] = runs.distinct(hits, _DEPTH, without=self._collection.excluded(query))
        measures, _ = evaluation.measure(self._collection.qrels, run)
        return {"nDCG@10": measures["nDCG@10"], "R@100": measures["R@100"], "postings": postings}


@dataclasses.dataclass(frozen=True)
class _Decoded:
    ids: np.ndarray
    logits: np.ndarray
    query_ids: np.ndarray
    query_logits: np.ndarray
    map: decoding.EmbeddingMap


class Lists:
    """An inverted index in memory, of postings [P] in any order.

    Attributes:
      lengths: of each column's list, int64 [num_columns].
    """

    def __init__(self, columns: np.ndarray, rows: np.ndarray, impacts: np.ndarray, num_columns: int):
        order = np.argsort(columns, kind="stable")
        self._rows, self._impacts = rows[order], impacts[order].astype(np.float32)
        self.lengths = np.bincount(columns, minlength=num_columns)
        self._indptr = np.concatenate([[0], np.cumsum(self.lengths)])

    def gather(self, columns: np.ndarray) -> Gathered:
        """As `Postings.gather`."""
        empty = np.zeros(0, np.int64)
        places = np.concatenate([empty, *(np.arange(self._indptr[c], self._indptr[c + 1]) for c in columns.tolist())])
        bounds = np.concatenate([[0], np.cumsum(self.lengths[columns])])
        return Gathered(self._rows[places], self._impacts[places], bounds)
