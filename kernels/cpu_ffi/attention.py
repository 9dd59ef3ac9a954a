"""Attention within texts that are packed into rows: no pair of two texts is computed, and no padding.

Scores are exact sums of products of 16-bit integers, as in `linear`: a query is rounded to multiples of its own step,
the keys of a text to multiples of a common one. A score is then off by about 1e-5 of the query's length times the
longest key's. Weights and weighted sums are float32.

Letters: B rows, T tokens, N query heads, K key heads, H head size.
"""

import jax
import jax.numpy as jnp
import numpy as np

from keytokens.kernels.cpu_ffi.library import require_packed


def packed_attention(
    queries: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    segments: jax.Array,
    *,
    behind: int | None,
    ahead: int | None,
    scale: float,
) -> jax.Array:
    """Softmax attention, float32 [B, T, N * H]; zeros for padding.

    Args:
      queries: float32 [B, T, N, H].
      keys: float32 [B, T, K, H]; N / K query heads share one key head.
      values: float32 [B, T, K, H].
      segments: int32 [B, T]; a run of equal ids is a text, 0 is padding.
      behind: how many tokens before its own a query sees; None for all.
      ahead: how many after its own; None for all.
      scale: multiplies the scores.

    Raises:
      ValueError: shapes do not fit, the library is not built, or the device is no CPU.
    """
    require_packed("Attention of packed texts")
    rows, length, heads, dim = queries.shape
    key_heads = keys.shape[2] if keys.ndim == 4 else 0
    shapes = {"keys": keys.shape, "values": values.shape, "segments": segments.shape}
    of_keys = (rows, length, key_heads, dim)
    if shapes != {"keys": of_keys, "values": of_keys, "segments": (rows, length)} or not key_heads or heads % key_heads:
        raise ValueError(
            f"{', '.join(f'{name} {list(shape)}' for name, shape in shapes.items())} do not fit queries "
            f"{list(queries.shape)}: they must be [B, T, K, H] twice and [B, T], and K heads divide the queries' N."
        )
    call = jax.ffi.ffi_call("keytokens_attend", jax.ShapeDtypeStruct((rows, length, heads * dim), jnp.float32))
    return call(
        *(array.astype(jnp.float32) for array in (queries, keys, values)),
        segments.astype(jnp.int32),
        scale=np.float32(scale),
        behind=np.int64(-1 if behind is None else behind),
        ahead=np.int64(-1 if ahead is None else ahead),
    )
