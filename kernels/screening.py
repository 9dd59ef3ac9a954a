"""Certified screening: bfloat16 columns whose product is a proven upper bound of the float32 logit.

Letters: R rows, D hidden size, V vocabulary size, W = D + 4 columns; h' and e' are h and e rounded to bfloat16.

By Cauchy and Schwarz, with nothing assumed about the data,

    <h, e> = <h', e'> + <h', e - e'> + <h - h', e>  <=  <h', e'> + |h'| |e - e'| + |h - h'| |e|,

which is one inner product of D + 2 numbers, so the matmul hardware computes the bound itself; a third column carries
the bias. The added columns are rounded up. What float32 sums may lose, in the bound and in the logit it bounds, is
added to the second: W products of relative error 2^-24 each, twice, and twice that again for safety.
"""

import jax
import jax.numpy as jnp
from jax import lax

from keytokens.kernels.logits import CONTRACT_LAST_AXES, Terms

NUM_ADDED = 4
# Float32 computes a norm of up to 8,192 squares to better than 0.1 %.
NORM_SLACK = 1.001
# The bound of a token that may not be selected: finite, since an infinity times a zero would spoil the row.
NEVER = -3e38


def token_columns(head: jax.Array, terms: Terms) -> jax.Array:
    """Bfloat16 [V, W] from head [V, D]: e', |e|, the rounding error |e - e'|, the bias with its error, and a zero."""
    exact = head.astype(jnp.float32)
    rounded = exact.astype(jnp.bfloat16)
    norm = _norm(exact)
    sum_error = 4 * (head.shape[1] + NUM_ADDED) * 2.0**-24
    error = _norm(exact - rounded.astype(jnp.float32)) + sum_error * norm
    offset = jnp.zeros(head.shape[0], jnp.float32)
    if terms.bias is not None:
        bias = terms.bias.astype(jnp.float32)
        offset = bias + sum_error * jnp.abs(bias)
    if terms.mask is not None:
        offset = jnp.where(terms.mask, offset, NEVER)
    added = [round_up(norm), round_up(error), round_up(offset), jnp.zeros_like(rounded[:, 0])]
    return jnp.concatenate([rounded, jnp.stack(added, axis=1)], axis=1)


def text_columns(rows: jax.Array) -> jax.Array:
    """Bfloat16 [R, W] from rows [R, D]: h', the rounding error |h - h'|, |h'|, one, and a zero."""
    exact = rows.astype(jnp.float32)
    rounded = exact.astype(jnp.bfloat16)
    widened = rounded.astype(jnp.float32)
    one = jnp.ones_like(rounded[:, 0])
    added = [round_up(_norm(exact - widened)), round_up(_norm(widened)), one, jnp.zeros_like(one)]
    return jnp.concatenate([rounded, jnp.stack(added, axis=1)], axis=1)


def upper_bounds(
    rows: jax.Array, columns: jax.Array, direction: jax.Array | None, coefficient: jax.Array | None
) -> jax.Array:
    """Float32 [R, V], at least the logit of every row of `rows` [R, D] and every token of `columns` [V, W]."""
    bounds = lax.dot_general(text_columns(rows), columns, CONTRACT_LAST_AXES, preferred_element_type=jnp.float32)
    if direction is not None:
        assert coefficient is not None
        moved = coefficient.astype(jnp.float32)[:, None] * direction.astype(jnp.float32)[None, :]
        bounds = lax.optimization_barrier(bounds - moved + 2.0**-21 * jnp.abs(moved))
    return bounds


def round_up(numbers: jax.Array) -> jax.Array:
    """The smallest bfloat16 not below each float32; NaN and infinities stay."""
    nearest = numbers.astype(jnp.bfloat16)
    bits = lax.bitcast_convert_type(nearest, jnp.uint16)
    one = jnp.uint16(1)
    # Upwards is a larger magnitude for positive numbers and a smaller one for negative numbers.
    above = lax.bitcast_convert_type(jnp.where(nearest > 0, bits + one, bits - one), jnp.bfloat16)
    above = jnp.where(nearest == 0, jnp.bfloat16(2.0**-126), above)
    return jnp.where(nearest.astype(jnp.float32) < numbers, above, nearest)


def _norm(rows: jax.Array) -> jax.Array:
    return NORM_SLACK * jnp.sqrt(jnp.sum(rows * rows, axis=1))
