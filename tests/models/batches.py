"""Texts through an embedder in the plainest way: one padded batch."""

import jax.numpy as jnp
import numpy as np


def pad(tokens, *, length=0, pad_id=0, side="right"):
    """ids int32, mask bool and pooled bool, each [B, T]."""
    longest = max([length, *(len(each.ids) for each in tokens)])
    ids = np.full((len(tokens), longest), pad_id, np.int32)
    mask, pooled = np.zeros((2, *ids.shape), bool)
    for row, each in enumerate(tokens):
        size = len(each.ids)
        place = slice(0, size) if side == "right" else slice(longest - size, longest)
        ids[row, place], mask[row, place], pooled[row, place] = each.ids, True, each.pooled
    return ids, mask, pooled


def embed(embedder, texts, *, program=None, query=False, **padding):
    """float32 [B, D].

    Args:
      embedder: loaded.
      texts: B of them.
      program: jax.jit(embedder.embed). Without it nothing is jitted: over many tiny models that is faster, because
        operations of the same shapes are compiled once.
      query: whether the texts are queries.
      **padding: of `pad`.
    """
    batch = pad(embedder.tokenize(texts, query=query), pad_id=embedder.pad_id, **padding)
    return np.asarray((program or embedder.embed)(embedder.params, *map(jnp.asarray, batch)))


def key_tokens(embedder, hidden, k):
    """The ids of the k largest logits, int [B, k], largest first."""
    transformed = np.asarray(embedder.head_transform(embedder.params, hidden))
    logits = transformed @ np.asarray(embedder.head.weight, np.float32).T
    if embedder.head.bias is not None:
        logits = logits + np.asarray(embedder.head.bias)
    return np.argsort(-logits, axis=1, kind="stable")[:, :k]
