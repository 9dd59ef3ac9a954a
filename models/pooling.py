"""From token states to one vector per text, in float32, whichever side is padded.

Letters: B texts, T tokens, D width.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def _mean(rank: jax.Array, pooled: jax.Array) -> jax.Array:
    del rank
    return pooled


def _weightedmean(rank: jax.Array, pooled: jax.Array) -> jax.Array:
    # SGPT (arXiv 2202.08904, equation 2): a token counts as often as its position says, from 1.
    return rank * pooled


def _lasttoken(rank: jax.Array, pooled: jax.Array) -> jax.Array:
    ranked = rank * pooled
    return pooled * (ranked == ranked.max(1, keepdims=True)).astype(jnp.float32)


def _cls(rank: jax.Array, pooled: jax.Array) -> jax.Array:
    del pooled
    return (rank == 1).astype(jnp.float32)


# Pooling -> how much each token counts, from its 1-based rank in the text and whether it is pooled, float32 [B, T].
_WEIGHTS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
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
    weights = _WEIGHTS[pooling](jnp.cumsum(present, axis=1) * present, counted)
    total = weights.sum(1, keepdims=True)
    if pooling == "max":
        vectors = jnp.where(counted[..., None] > 0, states, -jnp.inf).max(1)
        vectors = jnp.where(total > 0, vectors, jnp.nan)
    else:
        divisor = jnp.sqrt(total) if pooling == "mean_sqrt_len_tokens" else total
        vectors = jnp.einsum("bt,btd->bd", weights, states, precision=jax.lax.Precision.HIGHEST) / divisor
    return jnp.where(mask.any(1, keepdims=True), vectors, 0.0)
