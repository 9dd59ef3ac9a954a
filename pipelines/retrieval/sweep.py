"""What does each option do to retrieval? One option of the default varied at a time, on several collections at once.

n documents, k key tokens. Everything happens in memory, from a store's embeddings: each embedding map is decoded once.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from keytokens import models
from keytokens.pipelines import encoder
from keytokens.pipelines.analysis import bm25, ragged, sparse_coding
from keytokens.pipelines.retrieval import beir, decoding, engine, evaluation, weighting
from keytokens.pipelines.retrieval.options import IndexOptions, QueryOptions
from keytokens.pipelines.retrieval.postings import Gathered
from keytokens.pipelines.store import reader

MOST_DOCUMENT_TOKENS, MOST_QUERY_TOKENS = 1000, 4096
_DEPTH = 100


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table: what it varies, and the options that result."""

    varied: str
    index: IndexOptions
    query: QueryOptions


def rows() -> list[Row]:
    """The default, then one option varied at a time, then recipes of others."""
    index, query = IndexOptions(literal="none"), QueryOptions()
    found = [Row("default", index, query)]
    of_documents: dict[str, tuple[Any, ...]] = {
        "k": (64, 128, 512, 1000),
        "decoding": ("plain",),
        "centred": (True,),
        "without_first": (True,),
        "weighting": ("log", "one"),
        "normalize": ("euclidean", "none"),
        "hub_share": (0.05, 0.1),
        "max_postings": (50, 200),
        "in_text_only": (True,),
        "impacts": ("uint8",),
    }
    for name, values in of_documents.items():
        found += [Row(f"{name}={value}", dataclasses.replace(index, **{name: value}), query) for value in values]
    of_queries: dict[str, tuple[Any, ...]] = {
        "m": (64, 128, 256, 1024, 2048, 4096),
        "idf_power": (0.0, 1.0),
        "literal_weight": (1.0,),
    }
    for name, values in of_queries.items():
        found += [Row(f"{name}={value}", index, dataclasses.replace(query, **{name: value})) for value in values]
    plain = IndexOptions(literal="none", decoding="plain", weighting="log", normalize="none")
    found += [
        Row("plain logits, log, m=256, idf", plain, QueryOptions(m=256, idf_power=1)),
        Row("the same, whitened", dataclasses.replace(plain, decoding="whitened"), QueryOptions(m=256, idf_power=1)),
        Row("the same, plain, centred", dataclasses.replace(plain, centred=True), QueryOptions(m=256, idf_power=1)),
        Row(
            "the same, plain, without V_1",
            dataclasses.replace(plain, without_first=True),
            QueryOptions(m=256, idf_power=1),
        ),
        Row(
            "the paper's: raw logits, literal query tokens and ten key tokens, unit weights",
            dataclasses.replace(plain, weighting="logit"),
            QueryOptions(m=10, idf_power=0, literal_weight=1, unit_weights=True),
        ),
    ]
    return found


def sweep(config: models.EmbedderConfig, collections: Sequence[beir.Collection], urls: Sequence[str]) -> dict[str, Any]:
    """Every row on every collection: nDCG@10, its ratio to dense, Recall@100 and postings touched a query.

    Args:
      config: the stores' embedder.
      collections: queries and judgements.
      urls: the store of each collection, with embeddings.
    """
    table: list[dict[str, Any]] = [{"varied": row.varied, "collections": {}} for row in rows()]
    references = {}
    for collection, url in zip(collections, urls, strict=True):
        bench = _Bench(config, collection, reader.StoreReader(url))
        dense = bench.dense()
        references[collection.name] = {"dense": dense, "bm25": bench.literal()}
        for entry, row in zip(table, rows(), strict=True):
            found = bench.measure(row)
            entry["collections"][collection.name] = {**found, "ratio": found["nDCG@10"] / dense["nDCG@10"]}
    for entry in table:
        entry["least_ratio"] = min(found["ratio"] for found in entry["collections"].values())
    return {"references": references, "rows": table, "conclusion": conclusion(table)}


def conclusion(table: Sequence[dict[str, Any]]) -> str:
    """Why the default is the default, in words that follow from the table: who beats its least ratio, at what cost."""
    default = table[0]
    cost = _postings(default)
    better = [entry for entry in table[1:] if entry["least_ratio"] > default["least_ratio"]]
    cheaper = [entry["varied"] for entry in better if _postings(entry) <= cost * 1.001]
    dearer = [f"{entry['varied']} ({_postings(entry) / cost:.1f} times the postings)" for entry in better
              if _postings(entry) > cost * 1.001]  # fmt: skip
    return (
        f"The default keeps at least {default['least_ratio']:.3f} of dense nDCG@10 on every collection. "
        f"No dearer and better: {', '.join(cheaper) or 'none'}. Better and dearer: {', '.join(dearer) or 'none'}."
    )


def _postings(entry: dict[str, Any]) -> float:
    return float(np.mean([found["postings"] for found in entry["collections"].values()]))


class _Bench:
    """One collection, its embeddings decoded once per map."""

    def __init__(self, config: models.EmbedderConfig, collection: beir.Collection, store: reader.StoreReader):
        self._collection, self._store = collection, store
        self._loaded = encoder.shared_encoder(config)
        self._num_rows = store.dims.num_rows
        self._ids = list(store.doc_ids())
        self._hidden = store.embeddings(0, self._num_rows)
        self._alive = ~store.column("dead_letter")
        self._head = decoding.head_matrix(self._loaded)
        self._queries = self._loaded.embed(list(collection.queries.values()), query=True)
        self._own = [np.unique(tokens.ids[tokens.text], return_counts=True) for tokens in self._queries.tokens]

    def dense(self) -> dict[str, float]:
        """Cosine."""
        unit = weighting.unit_rows(self._hidden)
        return self._measured(list(weighting.unit_rows(self._queries.hidden) @ unit.T), 0.0)

    def literal(self) -> dict[str, float]:
        """BM25 over the texts' own tokens."""
        tokens: ragged.Ragged = self._store.text_tokens(0, self._num_rows)
        vocab_size = self._store.dims.vocab_size
        keys, counts = np.unique(tokens.ids.astype(np.int64) * self._num_rows + tokens.rows, return_counts=True)
        columns, rows = keys // self._num_rows, keys % self._num_rows
        df, documents = np.bincount(columns, minlength=vocab_size), int(self._alive.sum())
        impacts = bm25.impacts(
            counts,
            tokens.lengths[rows],
            bm25.idf(df, documents)[columns],
            mean_length=tokens.lengths.sum() / documents,
        )
        lists = _Lists(columns, rows, impacts, vocab_size)
        return self._ranked(lists, [(ids, counts.astype(np.float32)) for ids, counts in self._own])

    def measure(self, row: Row) -> dict[str, float]:
        """One line of the table."""
        index, query = row.index, row.query
        key = dataclasses.replace(IndexOptions(), decoding=index.decoding, centred=index.centred)
        decoded = self._decoded(dataclasses.replace(key, without_first=index.without_first))
        lists = self._lists(index, decoded)
        documents = int(self._alive.sum())
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
        return self._ranked(lists, queries)

    @functools.lru_cache(maxsize=1)  # noqa: B019 (a bench lives as long as its collection is looked at)
    def _decoded(self, options: IndexOptions) -> "_Decoded":
        found = decoding.make_map(options, self._head, self._store.merged_moments().f)
        decoder = decoding.Decoder.of(self._loaded, found)
        vocab_size = self._store.dims.vocab_size
        documents = decoder.decode(self._hidden, min(MOST_DOCUMENT_TOKENS, vocab_size))
        queries = decoder.decode(weighting.unit_rows(self._queries.hidden), min(MOST_QUERY_TOKENS, vocab_size))
        return _Decoded(*documents, *queries, found)

    def _lists(self, options: IndexOptions, decoded: "_Decoded") -> "_Lists":
        indices = decoded.ids[:, : options.k]
        weights = weighting.weigh(decoded.logits[:, : options.k], options.weighting) * self._alive[:, None]
        if options.in_text_only:
            tokens = self._store.text_tokens(0, self._num_rows)
            for row in range(self._num_rows):
                weights[row, ~np.isin(indices[row], tokens[row])] = 0
        if options.normalize == "euclidean":
            weights = weighting.unit_rows(weights)
        elif options.normalize == "reconstruction":
            vectors = sparse_coding.reconstructions(
                indices, weights, self._head, decoded.map.matrix, decoded.map.mean_row
            )
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            weights = np.divide(weights, lengths, out=np.zeros_like(weights), where=lengths > 0)
        rows, rank = np.nonzero(weights)
        columns, impacts = indices[rows, rank], weights[rows, rank]
        df = np.bincount(columns, minlength=self._store.dims.vocab_size)
        kept = (df <= options.hub_share * self._alive.sum())[columns]
        if options.max_postings:
            order = np.lexsort((rows, -impacts, columns))
            starts = np.concatenate([[0], np.cumsum(df)])
            place = np.empty(len(order), np.int64)
            place[order] = np.arange(len(order)) - starts[columns[order]]
            kept &= place < options.max_postings
        if options.impacts == "uint8":
            scale = float(impacts.max()) / 255
            impacts = weighting.quantise(impacts, scale) * np.float32(scale)
        return _Lists(columns[kept], rows[kept], impacts[kept], self._store.dims.vocab_size)

    def _ranked(self, lists: "_Lists", queries) -> dict[str, float]:
        scores, touched = [], []
        for ids, weights in queries:
            gathered = lists.gather(ids)
            touched.append(len(gathered.rows))
            scores.append(engine.accumulate(gathered, weights, self._num_rows))
        return self._measured(scores, float(np.mean(touched)))

    def _measured(self, scores: Sequence[np.ndarray], postings: float) -> dict[str, float]:
        run = {}
        for query, score in zip(self._collection.queries, scores, strict=True):
            best = engine.best(score, _DEPTH, allowed=self._alive)
            run[query] = [(self._ids[row], float(score[row])) for row in best.tolist()]
        measures, _ = evaluation.measure(self._collection.qrels, run)
        return {"nDCG@10": measures["nDCG@10"], "R@100": measures["R@100"], "postings": postings}


@dataclasses.dataclass(frozen=True)
class _Decoded:
    ids: np.ndarray
    logits: np.ndarray
    query_ids: np.ndarray
    query_logits: np.ndarray
    map: decoding.EmbeddingMap


class _Lists:
    """An inverted index in memory."""

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
