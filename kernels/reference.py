"""The meaning of `aligned_topk`, in plain jnp: every fast implementation is tested against this one.

Letters: B texts, D hidden size, V vocabulary size, k kept tokens. Never optimised; holds [B, V].
"""

import jax
import jax.numpy as jnp
from jax import lax

from keytokens.kernels.result import TopK


def reference_topk(
    hidden: jax.Array,
    head: jax.Array,
    k: int,
    *,
    bias: jax.Array | None,
    shift: tuple[jax.Array, jax.Array] | None,
    mask: jax.Array | None,
    scale: float,
    softcap: float | None,
    with_logsumexp: bool,
) -> TopK:
    """The k largest logits of every text by a stable sort of all of them; arguments as in `aligned_topk`."""
    logits = jnp.matmul(hidden.astype(jnp.float32), head.astype(jnp.float32).T, precision=lax.Precision.HIGHEST)
    if bias is not None:
        logits = logits + bias.astype(jnp.float32)[None, :]
    if shift is not None:
        coefficient, direction = shift
        logits = logits - coefficient.astype(jnp.float32)[:, None] * direction.astype(jnp.float32)[None, :]
    if mask is not None:
        logits = jnp.where(mask[None, :], logits, -jnp.inf)

    indices = jnp.argsort(logits, axis=-1, descending=True, stable=True)[:, :k].astype(jnp.int32)
    values = jnp.take_along_axis(logits, indices, axis=-1) * scale
    scaled = logits * scale
    if softcap is not None:
        values = jnp.where(jnp.isneginf(values), values, softcap * jnp.tanh(values / softcap))
        scaled = jnp.where(jnp.isneginf(scaled), scaled, softcap * jnp.tanh(scaled / softcap))

    broken = jnp.isnan(logits).any(axis=-1)
    values = jnp.where(broken[:, None], jnp.nan, values)
    indices = jnp.where(broken[:, None], -1, indices)
    logsumexp = None
    if with_logsumexp:
        logsumexp = jnp.where(broken, jnp.nan, jax.nn.logsumexp(scaled, axis=-1))
    return TopK(values, indices, logsumexp)
