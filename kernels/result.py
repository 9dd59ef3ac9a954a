"""What a selection is asked for and what it returns, and the steps that touch only the selected tokens.

Letters: B texts, k kept tokens.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class TopK(NamedTuple):
    """The k aligned tokens of every text, best first.

    Attributes:
      values: float32 [B, k]. The scaled and capped logits; all NaN in a row that had a NaN among its logits.
      indices: int32 [B, k]. The token ids; all -1 in such a row.
      logsumexp: float32 [B], or None where it was not asked for. A value's probability is exp(value - logsumexp).
      redone: bool [B], or None from implementations that need no certificate. True where the certificate of exactness
        failed, or the row had a NaN, and the row was computed again by the exact path; the answer is exact either way.
    """

    values: jax.Array
    indices: jax.Array
    logsumexp: jax.Array | None = None
    redone: jax.Array | None = None


class Options(NamedTuple):
    """The static options of `aligned_topk`, checked.

    Attributes:
      raw_values: leave the selected values unscaled and uncapped, as a merge of several selections must rank them.
      log1p: the selected values become log(1 + max(v, 0)), the weights of learned sparse retrievers.
    """

    k: int
    scale: float = 1.0
    softcap: float | None = None
    with_logsumexp: bool = False
    raw_values: bool = False
    log1p: bool = False


def scale_and_cap(logits: jax.Array, options: Options) -> jax.Array:
    """The logits times `scale`, then squeezed into (-softcap, softcap); -inf, which marks masked tokens, stays."""
    if options.scale != 1.0:
        logits = logits * options.scale
    if options.softcap is not None:
        logits = jnp.where(jnp.isneginf(logits), logits, options.softcap * jnp.tanh(logits / options.softcap))
    return logits


def as_selected(logits: jax.Array, options: Options) -> jax.Array:
    """Selected raw logits as users get them; `log1p`, which would make ties of all negative logits, comes last."""
    values = scale_and_cap(logits, options)
    return jnp.log1p(jnp.maximum(values, 0.0)) if options.log1p else values


def finish(
    logits: jax.Array,
    indices: jax.Array,
    options: Options,
    *,
    broken: jax.Array,
    logsumexp: jax.Array | None = None,
    redone: jax.Array | None = None,
) -> TopK:
    """The selected raw logits [B, k] as users get them, and the rows `broken` bool [B] flagged."""
    values = logits if options.raw_values else as_selected(logits, options)
    values = jnp.where(broken[:, None], jnp.nan, values)
    indices = jnp.where(broken[:, None], -1, indices)
    if logsumexp is not None:
        logsumexp = jnp.where(broken, jnp.nan, logsumexp)
    return TopK(values, indices, logsumexp, redone)
