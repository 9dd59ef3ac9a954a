"""Attention without parameters: who sees whom, where everyone stands, and the weighted sum.

Letters: B texts, T queries, S keys, N query heads, K key heads, H head size.
"""

import math

import jax
import jax.numpy as jnp


def run_positions(segments: jax.Array) -> jax.Array:
    """Position of every token within its own run of equal segment ids, int32 [B, T].

    A text's first token is at 0 whichever side is padded, and where several texts are packed into one row.
    """
    index = jnp.broadcast_to(jnp.arange(segments.shape[1], dtype=jnp.int32)[None], segments.shape)
    before = jnp.pad(segments, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
    return index - jax.lax.cummax(jnp.where(segments != before, index, 0), axis=1)


def visible(segments: jax.Array, *, behind: int | None, ahead: int | None) -> jax.Array:
    """Which key each query sees, bool [B, T, T]: of its own text (segment 0 is padding) and within reach.

    Args:
      segments: int32 [B, T].
      behind: how many tokens before its own; None for all.
      ahead: how many tokens after its own; None for all.
    """
    index = jnp.arange(segments.shape[1], dtype=jnp.int32)
    distance = index[None, :] - index[:, None]
    near = jnp.ones_like(distance, bool)
    if behind is not None:
        near &= distance >= -behind
    if ahead is not None:
        near &= distance <= ahead
    same = (segments[:, :, None] == segments[:, None, :]) & (segments[:, None, :] > 0)
    return same & near[None]


def rotary_waves(positions: jax.Array, frequencies: tuple[float, ...]) -> tuple[jax.Array, jax.Array]:
    """Sine and cosine of each position's angles, two float32 [B, T, 1, H/2].

    Computed anew in every program, so no table can leak from one configuration to another.
    """
    angles = jnp.einsum("bt,f->btf", positions.astype(jnp.float32), jnp.asarray(frequencies, jnp.float32))
    return jnp.sin(angles)[:, :, None], jnp.cos(angles)[:, :, None]


def rotate(x: jax.Array, sine: jax.Array, cosine: jax.Array) -> jax.Array:
    """Heads [B, T, N, H] turned by their positions' angles; the i-th pair is components i and i + H/2."""
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def distance_buckets(length: int, *, buckets: int, reach: int) -> jax.Array:
    """T5's bucket of every key's signed distance from every query, int32 [T, T].

    Half of the buckets are for keys ahead. Of each half, one half holds one distance a bucket, the rest grow
    logarithmically up to `reach`, from where all share the last (arXiv 1910.10683, section 2.1).
    """
    index = jnp.arange(length, dtype=jnp.int32)
    distance = index[None, :] - index[:, None]
    half = buckets // 2
    exact = half // 2
    size = jnp.abs(distance)
    growth = jnp.log(jnp.maximum(size, 1).astype(jnp.float32) / exact) / math.log(reach / exact)
    far = exact + (growth * (half - exact)).astype(jnp.int32)
    near = jnp.where(size < exact, size, jnp.minimum(far, half - 1))
    return near + jnp.where(distance > 0, half, 0)


def attend(
    queries: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    mask: jax.Array,
    *,
    bias: jax.Array | None,
    scale: float,
    softcap: float | None,
    precision: jax.lax.Precision,
) -> jax.Array:
    """Grouped-query attention, float32 [B, T, N * H]; softmax in float32, products in the arguments' dtype.

    Args:
      queries: [B, T, N, H].
      keys: [B, S, K, H]; N / K query heads share one key head.
      values: [B, S, K, H].
      mask: bool [B, T, S]. A query that sees nothing (padding) gets the mean of all values, which nobody reads.
      bias: float32 [N, T, S], added to the scaled scores.
      scale: multiplies the scores.
      softcap: c of c * tanh(scores / c).
      precision: of float32 products on an accelerator.
    """
    b, t, n, h = queries.shape
    s, k = keys.shape[1:3]
    grouped = queries.reshape(b, t, k, n // k, h)
    scores = scale * jnp.einsum(
        "btkgh,bskh->bkgts", grouped, keys, preferred_element_type=jnp.float32, precision=precision
    )
    if softcap is not None:
        scores = softcap * jnp.tanh(scores / softcap)
    if bias is not None:
        scores = scores + bias.reshape(1, k, n // k, t, s)
    scores = jnp.where(mask[:, None, None], scores, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(values.dtype)
    mixed = jnp.einsum("bkgts,bskh->btkgh", weights, values, preferred_element_type=jnp.float32, precision=precision)
    return mixed.reshape(b, t, n * h)
