"""Vectors of single vocabulary entries, so that a query can be embedded by its tokenizer alone.

V vocabulary, D hidden size. Entry t adds two unit vectors: the embedding of a text whose one token is t, less the mean
of all such embeddings (short texts have a direction of their own), and the mean embedding of the documents that contain
t, less that of all documents. A query's vector is the sum over its tokens, each times its idf in the corpus.
"""

import numpy as np

from keytokens import models
from keytokens.pipelines import encoder
from keytokens.pipelines.analysis import sparse_coding
from keytokens.pipelines.retrieval import decoding, index_run, weighting
from keytokens.pipelines.store import arrays, reader

TABLE = f"{index_run.RETRIEVAL}/query_table"
HEAD = f"{index_run.RETRIEVAL}/head"
_BATCH = 512


def refusal(loaded: encoder.Encoder) -> str | None:
    """Why this embedder can have no table; None where it can."""
    name = loaded.embedder.config.name
    if "transform" in loaded.embedder.params:
        return (
            f"{name} transforms embeddings before its LM head, which takes the model, so it can have no table of token "
            "vectors; queries without the model are possible with --queries=tokens only."
        )
    if _pattern(loaded) is None:
        return (
            f"{name}'s tokenizer makes several tokens of every letter, so there is no text of one token to embed and "
            "no table of token vectors; queries without the model are possible with --queries=tokens only."
        )
    return None


def write(store: reader.StoreReader, loaded: encoder.Encoder) -> None:
    """Stores the table and the LM head, float32 [V, D], unless they are there.

    Raises:
      ValueError: the embedder can have no table.
    """
    if (reason := refusal(loaded)) is not None:
        raise ValueError(reason)
    if store.files.read(f"{TABLE}/zarr.json") is None:
        arrays.write_whole(store.files, HEAD, decoding.head_matrix(loaded))
        arrays.write_whole(store.files, TABLE, embed_vocabulary(loaded) + documents_of_tokens(store))


def documents_of_tokens(store: reader.StoreReader) -> np.ndarray:
    """Unit vectors float32 [V, D]: the mean embedding of the documents with each token, less the mean of all.

    Zeros for a token that no document has, and throughout where the store holds no embeddings or no texts' tokens.
    """
    dims = store.dims
    total = np.zeros((dims.vocab_size, dims.hidden_size))
    if dims.save_embeddings and dims.has_text_tokens:
        moments = store.merged_moments().f
        mean = moments.unit_sum / max(1, moments.count)
        for row0, row1 in store.shards():
            unit = weighting.unit_rows(store.embeddings(row0, row1))
            centred = np.where(unit.any(1, keepdims=True), unit - mean, 0)
            total += sparse_coding.sums_by_token(store.text_tokens(row0, row1), centred, dims.vocab_size)
    return weighting.unit_rows(total.astype(np.float32))


def embed_vocabulary(loaded: encoder.Encoder) -> np.ndarray:
    """Unit vectors float32 [V, D]: embeddings of single tokens less their mean; zeros for special tokens."""
    embedder = loaded.embedder
    pattern = _pattern(loaded)
    assert pattern is not None, refusal(loaded)
    vocab_size = embedder.config.vocab_size
    parts = []
    for start in range(0, vocab_size, _BATCH):
        ids = np.tile(pattern.ids, (_BATCH, 1))
        ids[:, pattern.text] = np.minimum(np.arange(start, start + _BATCH), vocab_size - 1)[:, None]
        mask = np.ones(ids.shape, bool)
        parts.append(np.asarray(loaded.embed_ids(ids, mask, np.tile(pattern.pooled, (_BATCH, 1)))))
    table = np.concatenate(parts)[:vocab_size]
    table = weighting.unit_rows(np.nan_to_num(table))
    text = np.ones(vocab_size, bool)
    text[[token for token in embedder.special_ids if token < vocab_size]] = False
    return weighting.unit_rows(np.where(text[:, None], table - table[text].mean(0), 0).astype(np.float32))


def _pattern(loaded: encoder.Encoder) -> models.Tokens | None:
    """A text of one token, in which any other can take its place; None where the tokenizer has none."""
    tokenised = loaded.embedder.tokenize(["a", "e", "1", "."], query=True)
    return next((tokens for tokens in tokenised if tokens.text.sum() == 1), None)
