"""What a selection returns, and the steps that touch only the selected tokens."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class TopK(NamedTuple):
    """The k aligned tokens of every text, best first.

    Attributes:
      values: float32 [B, k]. The scaled and capped logits; all NaN in a row that had a NaN among its logits.
      indices: int32 [B, k]. The token ids; all -1 in such a row.
      logsumexp: float32 [B], or None where it was not asked for. A value's probability is exp(value - logsumexp).
    """

    values: jax.Array
    indices: jax.Array
    logsumexp: jax.Array | None = None


def scale_and_cap(logits: jax.Array, scale: float, softcap: float | None) -> jax.Array:
    """The logits times `scale`, then squeezed into (-softcap, softcap); -inf, which marks masked tokens, stays."""
    if scale != 1.0:
        logits = logits * scale
    if softcap is not None:
        logits = jnp.where(jnp.isneginf(logits), logits, softcap * jnp.tanh(logits / softcap))
    return logits


def finish(
    logits: jax.Array,
    indices: jax.Array,
    logsumexp: jax.Array | None,
    *,
    broken: jax.Array,
    scale: float,
    softcap: float | None,
) -> TopK:
    """The selection [B, k] of raw logits as users get it: scaled, capped, and rows marked in `broken` [B] flagged."""
    values = jnp.where(broken[:, None], jnp.nan, scale_and_cap(logits, scale, softcap))
    indices = jnp.where(broken[:, None], -1, indices)
    if logsumexp is not None:
        logsumexp = jnp.where(broken, jnp.nan, logsumexp)
    return TopK(values, indices, logsumexp)
