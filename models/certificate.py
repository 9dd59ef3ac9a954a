"""A certificate of invariance: how far key tokens depend on batch size, padding and dtype, which they should not.

Letters: n texts, D hidden size, V vocabulary, k key tokens.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from keytokens.models.embedder import Embedder
from keytokens.models.tokenizing import Tokens


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to compute the same embeddings.

    Attributes:
      batch_size: texts in a batch.
      padding: positions added to the longest text.
      side: "right" or "left", where padding stands.
      dtype: of matrices and products.
    """

    batch_size: int
    padding: int
    side: str
    dtype: str


@dataclasses.dataclass(frozen=True)
class Agreement:
    """A variant beside the reference: one text a time, no padding, the first embedder's dtype.

    Attributes:
      variant: what was varied.
      jaccard: mean over the texts of |A and B| / |A or B|, A and B the two sets of k key tokens.
      min_jaccard: of the worst text.
      max_error: largest difference of embeddings, relative to the largest component of the reference.
    """

    variant: Variant
    jaccard: float
    min_jaccard: float
    max_error: float


def certify(
    embedders: Sequence[Embedder],
    texts: Sequence[str],
    *,
    k: int,
    batch_sizes: Sequence[int] = (1, 8),
    paddings: Sequence[int] = (0, 16),
    sides: Sequence[str] = ("right", "left"),
) -> list[Agreement]:
    """Every variant's agreement with the reference.

    Args:
      embedders: one checkpoint in several dtypes; the first is the reference.
      texts: none of them empty.
      k: key tokens compared.
      batch_sizes: of the variants.
      paddings: of the variants, in positions.
      sides: of the variants.
    """
    first = embedders[0]
    tokens = first.tokenize(texts)
    reference = _embed(first, tokens, Variant(1, 0, "right", first.config.dtype))
    expected = _key_tokens(first, reference, k)
    return [
        _agreement(variant, reference, expected, embedder, tokens, k)
        for embedder in embedders
        for variant in _variants(embedder.config.dtype, batch_sizes, paddings, sides)
    ]


def _variants(
    dtype: str, batch_sizes: Sequence[int], paddings: Sequence[int], sides: Sequence[str]
) -> Iterator[Variant]:
    for batch_size in batch_sizes:
        for padding in paddings:
            for side in sides:
                yield Variant(batch_size, padding, side, dtype)


def _agreement(
    variant: Variant, reference: np.ndarray, expected: list[set[int]], embedder: Embedder, tokens: list[Tokens], k: int
) -> Agreement:
    hidden = _embed(embedder, tokens, variant)
    found = _key_tokens(embedder, hidden, k)
    overlaps = [len(a & b) / len(a | b) for a, b in zip(expected, found, strict=True)]
    error = float(np.abs(hidden - reference).max() / np.abs(reference).max())
    return Agreement(variant, float(np.mean(overlaps)), min(overlaps), error)


def _embed(embedder: Embedder, tokens: Sequence[Tokens], variant: Variant) -> np.ndarray:
    """float32 [n, D]."""
    embed = jax.jit(embedder.embed)
    parts = []
    for start in range(0, len(tokens), variant.batch_size):
        members = tokens[start : start + variant.batch_size]
        length = max(len(each.ids) for each in members) + variant.padding
        ids = np.full((len(members), length), embedder.pad_id, np.int32)
        mask, pooled = np.zeros((2, *ids.shape), bool)
        for row, each in enumerate(members):
            size = len(each.ids)
            place = slice(0, size) if variant.side == "right" else slice(length - size, length)
            ids[row, place], mask[row, place], pooled[row, place] = each.ids, True, each.pooled
        parts.append(np.asarray(embed(embedder.params, ids, mask, pooled)))
    return np.concatenate(parts)


def _key_tokens(embedder: Embedder, hidden: np.ndarray, k: int) -> list[set[int]]:
    """The k entries with the largest logits, a text at a time."""
    weight, bias = embedder.head.weight, embedder.head.bias
    transformed = jnp.asarray(embedder.head_transform(embedder.params, jnp.asarray(hidden)))
    found = []
    for row in transformed:
        logits = jnp.einsum("d,vd->v", row.astype(weight.dtype), weight, preferred_element_type=jnp.float32)
        _, indices = jax.lax.top_k(logits if bias is None else logits + bias, k)
        found.append(set(np.asarray(indices).tolist()))
    return found
