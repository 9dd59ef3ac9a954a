"""From token states to one vector per text, in float32, whichever side is padded.

Letters: B texts, T tokens, D width.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from keytokens.models.attention import run_positions


def _mean(rank: jax.Array, pooled: jax.Array, last: jax.Array) -> jax.Array:
    del rank, last
    return pooled


def _weightedmean(rank: jax.Array, pooled: jax.Array, last: jax.Array) -> jax.Array:
    # SGPT (arXiv 2202.08904, equation 2): a token counts as often as its position says, from 1.
    del last
    return rank * pooled


def _lasttoken(rank: jax.Array, pooled: jax.Array, last: jax.Array) -> jax.Array:
    return pooled * (rank == last).astype(jnp.float32)


def _cls(rank: jax.Array, pooled: jax.Array, last: jax.Array) -> jax.Array:
    del pooled, last
    return (rank == 1).astype(jnp.float32)


# Pooling -> how much each token counts, from its 1-based rank in the text, whether it is pooled, and the rank of the
# text's last pooled token; float32 [B, T] or broadcast to it.
_WEIGHTS: dict[str, Callable[[jax.Array, jax.Array, jax.Array], jax.Array]] = {
    "mean": _mean,
    "weightedmean": _weightedmean,
    "lasttoken": _lasttoken,
    "cls": _cls,
    # The tokenizer marks the [MASK] of the prompt, and nothing else, as pooled.
    "mask": _mean,
    "mean_sqrt_len_tokens": _mean,
    "max": _mean,
}


def pool(states: jax.Array, mask: jax.Array, pooled: jax.Array, *, pooling: str) -> jax.Array:
    """One vector per text, float32 [B, D].

    Args:
      states: [B, T, D].
      mask: bool [B, T], False where padded.
      pooled: bool [B, T], True for tokens that count.
      pooling: one of `recipe.POOLINGS`, but not "decoder".

    Returns:
      Zeros for a row that is padding only. A row with tokens of which none is pooled has no embedding: NaN.
    """
    states = jnp.where(mask[..., None], states.astype(jnp.float32), 0.0)
    present = mask.astype(jnp.float32)
    counted = (mask & pooled).astype(jnp.float32)
    rank = jnp.cumsum(present, axis=1) * present
    weights = _WEIGHTS[pooling](rank, counted, (rank * counted).max(1, keepdims=True))
    total = weights.sum(1, keepdims=True)
    if pooling == "max":
        vectors = jnp.where(counted[..., None] > 0, states, -jnp.inf).max(1)
        vectors = jnp.where(total > 0, vectors, jnp.nan)
    else:
        divisor = jnp.sqrt(total) if pooling == "mean_sqrt_len_tokens" else total
        vectors = jnp.einsum("bt,btd->bd", weights, states, precision=jax.lax.Precision.HIGHEST) / divisor
    return jnp.where(mask.any(1, keepdims=True), vectors, 0.0)


def pool_packed(
    states: jax.Array, segments: jax.Array, pooled: jax.Array, *, pooling: str, num_texts: int
) -> jax.Array:
    """One vector per text of several that share a row, float32 [num_texts, D].

    A text's tokens are summed one after another, so the bits do not depend on where it stands.

    Args:
      states: [B, T, D].
      segments: int32 [B, T], the number of the text, from 1; 0 where padded. A text stands in one row, in one piece.
      pooled: bool [B, T], True for tokens that count.
      pooling: one of POOLINGS, but not "decoder".
      num_texts: the largest number of a text.

    Returns:
      Zeros for numbers that no token has. A text of which no token is pooled has no embedding: NaN.
    """
    flat, owner = states.astype(jnp.float32).reshape(-1, states.shape[-1]), segments.reshape(-1)
    add = partial(jax.ops.segment_sum, segment_ids=owner, num_segments=num_texts + 1)
    most = partial(jax.ops.segment_max, segment_ids=owner, num_segments=num_texts + 1)
    rank = jnp.where(segments > 0, run_positions(segments) + 1, 0).astype(jnp.float32).reshape(-1)
    counted = ((segments > 0) & pooled).astype(jnp.float32).reshape(-1)
    weights = _WEIGHTS[pooling](rank, counted, most(rank * counted)[owner])
    total = add(weights)[:, None]
    if pooling == "max":
        vectors = most(jnp.where(counted[:, None] > 0, flat, -jnp.inf))
        vectors = jnp.where(total > 0, vectors, jnp.nan)
    else:
        divisor = jnp.sqrt(total) if pooling == "mean_sqrt_len_tokens" else total
        vectors = add(weights[:, None] * flat) / divisor
    return jnp.where(add(jnp.ones_like(rank))[:, None] > 0, vectors, 0.0)[1:]
