"""Words as our models see them: each a one-word text, or the mean of the input-embedding rows of its pieces.

An underscore stands for a space, as in BATS. A word of which the tokenizer knows no piece is out of vocabulary.
n words, D hidden size.
"""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from keytokens import models
from keytokens.pipelines import arithmetic
from keytokens.pipelines.words.vectors import Loaded

# A word with its special tokens is 3 to 8 tokens. The ladder of texts begins at 16, and padding words to it takes three
# times as long.
_LENGTHS = (4, 6, 8, 12, 16)
_BATCH_TOKENS = 2048
_UNKNOWN = "unknown to its tokenizer"


def embed_words(config: models.EmbedderConfig, words: Sequence[str], *, lookup: bool = False) -> Loaded:
    """The words' vectors, words without a known piece left out and counted.

    Args:
      config: which model.
      words: distinct.
      lookup: take input embeddings instead of embedding a text.
    """
    embedder = models.load_embedder(config, ops=arithmetic.ops_for(config.dtype))
    tokens = embedder.tokenize([word.replace("_", " ") for word in words])
    known = [number for number, each in enumerate(tokens) if each.text.any()]
    kept = [tokens[number] for number in known]
    matrix = _input_embeddings(embedder, kept) if lookup else _as_texts(embedder, kept)
    missing = len(words) - len(known)
    return Loaded([words[number] for number in known], matrix, {_UNKNOWN: missing} if missing else {})


def _input_embeddings(embedder: models.Embedder, tokens: Sequence[models.Tokens]) -> np.ndarray:
    """float32 [n, D], the mean over each text's own tokens: no prompt, no special token, no position."""
    table = np.asarray(embedder.params["body"]["embed"]["weight"])
    matrix = np.zeros((len(tokens), table.shape[1]), np.float32)
    for number, each in enumerate(tokens):
        matrix[number] = table[each.ids[each.text]].astype(np.float32).mean(0)
    return matrix


def _as_texts(embedder: models.Embedder, tokens: Sequence[models.Tokens]) -> np.ndarray:
    """float32 [n, D]. A word computes in the shape of its own length, so its bits do not depend on other words."""
    embed = jax.jit(embedder.embed)
    matrix = np.zeros((len(tokens), embedder.config.hidden_size), np.float32)
    lengths = np.array([len(each.ids) for each in tokens])
    longest = embedder.config.recipe.max_length
    doublings = itertools.takewhile(lambda rung: rung < longest, (32 * 2**power for power in range(20)))
    rungs = [*(rung for rung in _LENGTHS if rung < longest), *doublings, longest]
    shape_of = np.searchsorted(rungs, lengths)
    for rung in np.unique(shape_of):
        length, members = rungs[rung], np.flatnonzero(shape_of == rung)
        size = max(1, _BATCH_TOKENS // length)
        pending = []
        for start in range(0, len(members), size):
            batch = members[start : start + size]
            ids = np.full((size, length), embedder.pad_id, np.int32)
            mask, pooled = np.zeros((2, size, length), bool)
            for slot, member in enumerate(batch):
                each = tokens[member]
                ids[slot, : len(each.ids)] = each.ids
                mask[slot, : len(each.ids)] = True
                pooled[slot, : len(each.ids)] = each.pooled
            pending.append((batch, embed(embedder.params, jnp.asarray(ids), jnp.asarray(mask), jnp.asarray(pooled))))
        for batch, result in pending:
            matrix[batch] = np.asarray(result, np.float32)[: len(batch)]
    return matrix
