"""Mean, centred scatter and sum of unit vectors of one block of embeddings, in float32 on the device.

Letters: B rows of the block, D hidden size. Blocks are merged elsewhere, in float64, by Chan, Golub and LeVeque (1979).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class BlockMoments(NamedTuple):
    """Moments of the valid rows x of one block; all zeros when there is none.

    Attributes:
      count: int32 []. The number of valid rows.
      mean: float32 [D].
      scatter: float32 [D, D]. Sum of (x - mean)(x - mean)^T.
      unit_sum: float32 [D]. Sum of x / |x|; a zero vector contributes nothing.
      mean_tail: float32 [D]. What rounding `mean` to float32 lost. Merge with mean + mean_tail, added in float64: where
        the mean is 1,000 standard deviations, the merged scatter loses its sixth digit without it.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    mean: jax.Array
    scatter: jax.Array
    unit_sum: jax.Array
    mean_tail: jax.Array


@jax.jit
def block_moments(hidden: jax.Array, valid: jax.Array) -> BlockMoments:
    """The moments of the rows of hidden float32 [B, D] where valid bool [B]; other rows may hold anything, NaN too.

    Raises:
      ValueError: hidden is not float32 [B, D] or valid is not bool [B].
    """
    _check_rows("hidden", hidden, valid)
    count = jnp.sum(valid, dtype=jnp.int32)
    rough_mean, centred = _centre(hidden, valid, count)
    correction = _divide(jnp.sum(centred, axis=0), count)
    mean = rough_mean + correction
    mean_tail = correction - (mean - rough_mean)
    centred = jnp.where(valid[:, None], centred - correction[None, :], 0.0)
    kept = jnp.where(valid[:, None], hidden, 0.0)
    return BlockMoments(count, mean, _gram(centred, centred), jnp.sum(_unit(kept), axis=0), mean_tail)


@jax.jit
def block_cross_scatter(f: jax.Array, g: jax.Array, valid: jax.Array) -> jax.Array:
    """Float32 [D, D]: the sum of (f - mean f)(g - mean g)^T over the rows of f and g [B, D] where valid bool [B].

    Raises:
      ValueError: f or g is not float32 [B, D] or valid is not bool [B].
    """
    _check_rows("f", f, valid)
    _check_rows("g", g, valid)
    count = jnp.sum(valid, dtype=jnp.int32)
    return _gram(*(_centre_twice(rows, valid, count) for rows in (f, g)))


def _centre(rows: jax.Array, valid: jax.Array, count: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mean, rounded, and the rows less it, zero where not valid."""
    mean = _divide(jnp.sum(jnp.where(valid[:, None], rows, 0.0), axis=0), count)
    return mean, jnp.where(valid[:, None], rows - mean[None, :], 0.0)


def _centre_twice(rows: jax.Array, valid: jax.Array, count: jax.Array) -> jax.Array:
    _, centred = _centre(rows, valid, count)
    return _centre(centred, valid, count)[1]


def _gram(left: jax.Array, right: jax.Array) -> jax.Array:
    return lax.dot_general(left, right, (((0,), (0,)), ((), ())), precision=lax.Precision.HIGHEST)


def _divide(total: jax.Array, count: jax.Array) -> jax.Array:
    return total / jnp.maximum(count, 1).astype(jnp.float32)


def _unit(rows: jax.Array) -> jax.Array:
    """Rows over their norms; dividing by the largest entry first keeps the squares inside float32's range."""
    largest = jnp.max(jnp.abs(rows), axis=1, keepdims=True)
    rows = rows / jnp.where(largest == 0.0, 1.0, largest)
    norm = jnp.sqrt(jnp.sum(rows * rows, axis=1, keepdims=True))
    return rows / jnp.where(norm == 0.0, 1.0, norm)


def _check_rows(name: str, rows: jax.Array, valid: jax.Array) -> None:
    if rows.ndim != 2 or rows.dtype != jnp.float32:
        raise ValueError(f"{name} is {rows.dtype} {tuple(rows.shape)}, but must be float32 [B, D].")
    if valid.shape != rows.shape[:1] or valid.dtype != jnp.bool_:
        raise ValueError(f"valid is {valid.dtype} {tuple(valid.shape)}, but must be bool ({rows.shape[0]},).")
