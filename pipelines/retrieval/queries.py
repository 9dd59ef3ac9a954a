"""From a query's text to weights of columns: with the model, with a table of token vectors, or with its tokens alone.

M tokens of a query, V vocabulary, D hidden size.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from keytokens import models
from keytokens.models import tokenizing
from keytokens.pipelines import encoder
from keytokens.pipelines.analysis import bm25
from keytokens.pipelines.retrieval import decoding, postings, query_table, weighting
from keytokens.pipelines.retrieval.options import IndexOptions, QueryOptions
from keytokens.pipelines.store import arrays
from keytokens.pipelines.store import files as store_files


@dataclasses.dataclass(frozen=True)
class QueryVector:
    """A query for the index.

    Attributes:
      key_columns: int64 [M], distinct columns of key tokens.
      key_weights: float32 [M], positive.
      literal_columns: int64, distinct columns of the query's own tokens.
      literal_weights: float32, how often each stands in the query.
      embedding: float32 [D] of unit length, where there is one.
    """

    key_columns: np.ndarray
    key_weights: np.ndarray
    literal_columns: np.ndarray
    literal_weights: np.ndarray
    embedding: np.ndarray | None = None


class QueryEncoder:
    """Encodes queries for one index.

    Args:
      files: of the store.
      config: the store's embedder.
      index: whose document frequencies weigh the query.
    """

    def __init__(self, files: store_files.StoreFiles, config: models.EmbedderConfig, index: postings.Postings):
        self._files, self._config, self._index = files, config, index
        self._options = IndexOptions(**index.attributes["described"]["options"])
        self._num_documents = int(index.attributes["num_documents"])

    def encode(self, texts: Sequence[str], options: QueryOptions) -> list[QueryVector]:
        """The vectors of the queries.

        Raises:
          ValueError: an empty query, or a table that was not built.
        """
        for number, text in enumerate(texts, start=1):
            if not text.strip():
                raise ValueError(f"query number {number} is empty; an empty text has no tokens to search for.")
        own = [np.unique(tokens, return_counts=True) for tokens in self._own_tokens(texts)]
        hidden = self._embed(texts, own, options) if _needs_embedding(options) else None
        unit = None if hidden is None else weighting.unit_rows(hidden)
        keys: list[tuple[np.ndarray, np.ndarray]] = [_nothing()] * len(texts)
        if options.mode in ("sparse", "fused"):
            if hidden is not None:
                keys = self._key_tokens(hidden, options)
            keys = [
                self._weighted(self._with_own(*key, *mine, options), options)
                for key, mine in zip(keys, own, strict=True)
            ]
        offset = self._config.vocab_size if self._options.literal == "separate" else 0
        return [
            QueryVector(
                key[0].astype(np.int64),
                key[1],
                ids.astype(np.int64) + offset,
                counts.astype(np.float32),
                None if unit is None else unit[i],
            )
            for i, (key, (ids, counts)) in enumerate(zip(keys, own, strict=True))
        ]

    def _own_tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [tokens.ids[tokens.text] for tokens in self._tokenizer(list(texts))]

    @functools.cached_property
    def _tokenizer(self) -> tokenizing.TextTokenizer:
        tokenizer = tokenizing.read_tokenizer(self._config.tokenizer_directory)
        return tokenizing.TextTokenizer(tokenizer, self._config.recipe, query=True)

    def _embed(self, texts, own, options: QueryOptions) -> np.ndarray:
        """Embeddings float32 [n, D], of the length that the model gives them, as those that the store holds.

        The transform of a masked language model's head is not linear: a unit vector would decode to other tokens.
        """
        if options.queries == "model":
            return encoder.shared_encoder(self._config).embed(texts, query=True).hidden
        df = self._index.frequencies(np.arange(self._config.vocab_size))
        if self._options.literal == "separate":
            df = self._index.frequencies(np.arange(self._config.vocab_size) + self._config.vocab_size)
        idf = bm25.idf(df, self._num_documents)
        hidden = np.stack([(counts * idf[ids]) @ self._table[ids] for ids, counts in own]).astype(np.float32)
        return weighting.unit_rows(hidden)

    @functools.cached_property
    def _table(self) -> np.ndarray:
        if self._files.read(f"{query_table.TABLE}/zarr.json") is None:
            raise ValueError(
                f"{self._files.url} holds no table of token vectors, which --queries=table needs. Run build_index "
                "again with --query_table, or take --queries=tokens."
            )
        return arrays.read(self._files, query_table.TABLE)

    @functools.cached_property
    def _decoder(self) -> decoding.Decoder:
        found = decoding.read_map(self._files)
        return decoding.Decoder.of(encoder.shared_encoder(self._config), found)

    @functools.cached_property
    def _table_decoder(self) -> decoding.Decoder:
        import jax.numpy as jnp  # here: --help needs no JAX

        head = jnp.asarray(arrays.read(self._files, query_table.HEAD))
        return decoding.Decoder(head, decoding.read_map(self._files))

    def _key_tokens(self, hidden: np.ndarray, options: QueryOptions) -> list[tuple[np.ndarray, np.ndarray]]:
        decoder = self._decoder if options.queries == "model" else self._table_decoder
        indices, logits = decoder.decode(hidden, min(options.m, self._config.vocab_size))
        weights = weighting.weigh(logits, self._options.weighting)
        return [(ids[weight > 0], weight[weight > 0]) for ids, weight in zip(indices, weights, strict=True)]

    def _with_own(self, ids, weights, own_ids, counts, options: QueryOptions) -> tuple[np.ndarray, np.ndarray]:
        """The query's own tokens among its key tokens, where asked for."""
        if options.queries == "tokens":
            return own_ids, counts.astype(np.float32)
        if options.literal_weight:
            own = np.full(len(own_ids), options.literal_weight * weights.max(initial=1e-9), np.float32)
            every, place = np.unique(np.concatenate([ids, own_ids]), return_inverse=True)
            ids, weights = every, np.bincount(place, np.concatenate([weights, own])).astype(np.float32)
        return ids, weights

    def _weighted(self, key, options: QueryOptions) -> tuple[np.ndarray, np.ndarray]:
        ids, weights = key
        if options.unit_weights:
            weights = np.ones_like(weights)
        if options.idf_power:
            idf = bm25.idf(self._index.frequencies(ids), self._num_documents)
            weights = weights * idf**options.idf_power
        return ids, weights.astype(np.float32)


def _needs_embedding(options: QueryOptions) -> bool:
    return options.mode == "dense" or (options.mode in ("sparse", "fused") and options.queries != "tokens")


def _nothing() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(0, np.int64), np.zeros(0, np.float32)
