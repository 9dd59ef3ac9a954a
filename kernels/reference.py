"""The meaning of `aligned_topk`, in plain jnp: every fast implementation is tested against this one.

Letters: B texts, D hidden size, V vocabulary size, k kept tokens. Never optimised; holds [B, V].
"""

import jax
import jax.numpy as jnp
from jax import lax

from keytokens.kernels.head import PreparedHead
from keytokens.kernels.result import Options, TopK


def reference_topk(hidden: jax.Array, head: PreparedHead, coefficient: jax.Array | None, options: Options) -> TopK:
    """The k largest logits of every text by a stable sort of all of them; arguments as in `aligned_topk`."""
    weight, terms = head.weight.astype(jnp.float32), head.terms
    logits = jnp.matmul(hidden.astype(jnp.float32), weight.T, precision=lax.Precision.HIGHEST)
    if terms.bias is not None:
        logits = logits + terms.bias.astype(jnp.float32)[None, :]
    if coefficient is not None and terms.direction is not None:
        logits = logits - jnp.outer(coefficient.astype(jnp.float32), terms.direction.astype(jnp.float32))
    if terms.mask is not None:
        logits = jnp.where(terms.mask[None, :], logits, -jnp.inf)

    indices = jnp.argsort(logits, axis=-1, descending=True, stable=True)[:, : options.k].astype(jnp.int32)
    scaled = logits * options.scale
    if options.softcap is not None:
        scaled = jnp.where(jnp.isneginf(scaled), scaled, options.softcap * jnp.tanh(scaled / options.softcap))
    weights = jnp.log1p(jnp.maximum(scaled, 0.0)) if options.log1p else scaled
    values = jnp.take_along_axis(logits if options.raw_values else weights, indices, axis=-1)
    logsumexp = jax.nn.logsumexp(scaled, axis=-1)

    broken = jnp.isnan(logits).any(axis=-1)
    values = jnp.where(broken[:, None], jnp.nan, values)
    indices = jnp.where(broken[:, None], -1, indices)
    logsumexp = jnp.where(broken, jnp.nan, logsumexp)
    return TopK(values, indices, logsumexp if options.with_logsumexp else None)
