"""Head and texts rounded to int8, with what bounds the rounding's effect, laid out as the C++ reads them.

Letters: R rows, D hidden size, V vocabulary size, P panels of 32 tokens, D' = D rounded up to 4.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from keytokens.kernels.logits import Terms

PANEL = 32
# Float32 computes a norm of up to 8,192 squares to better than 0.1 %.
NORM_SLACK = 1.001
ALONG = 5


class PackedHead(NamedTuple):
    """The head for `cpu_ffi`: a quarter of its float32 size, 117 MB at V=151,936, D=768.

    Attributes:
      panels: uint8 [P, D' / 4, 32, 4], the rounded head plus 128.
      tokens: float32 [P, 6, 32]: step size, bound of the rounding error, norm, bias (-inf for masked and padded
        tokens), bound of the bias's rounding, and the direction of a shift.
    """

    panels: jax.Array
    tokens: jax.Array


class PackedTexts(NamedTuple):
    """Texts: int8 [R, D'], float32 [R, 4] (step size, norm, rounding error, shift), 128 times the sums of the bytes."""

    bytes: jax.Array
    texts: jax.Array
    sums: jax.Array


@jax.jit
def pack_head(weight: jax.Array, terms: Terms) -> PackedHead:
    """The panels of weight [V, D] and its terms."""
    vocabulary, dim = weight.shape
    exact = weight.astype(jnp.float32)
    rounded, step = _round(exact)
    norm = _norm(exact)
    # Float32 sums of D products, in the logit and in its bound, and twice that again for safety.
    error = _norm(exact - rounded * step[:, None]) + 4 * (dim + 4) * 2.0**-24 * norm
    bias = jnp.zeros(vocabulary, jnp.float32) if terms.bias is None else terms.bias.astype(jnp.float32)
    if terms.mask is not None:
        bias = jnp.where(terms.mask, bias, -jnp.inf)
    bias_error = jnp.where(jnp.isfinite(bias), 2.0**-20 * jnp.abs(bias), 0.0)
    along = jnp.zeros(vocabulary, jnp.float32) if terms.direction is None else terms.direction.astype(jnp.float32)
    columns = [_in_panels(column) for column in (step, error, norm, bias, bias_error, along)]
    columns[3] = _in_panels(bias, fill=-jnp.inf)
    shifted = (rounded + 128.0).astype(jnp.uint8)
    shifted = jnp.pad(shifted, ((0, -vocabulary % PANEL), (0, -dim % 4)), constant_values=128)
    panels = shifted.reshape(-1, PANEL, shifted.shape[1] // 4, 4).transpose(0, 2, 1, 3)
    return PackedHead(panels, jnp.stack(columns, axis=1))


def pack_texts(rows: jax.Array, coefficient: jax.Array | None) -> PackedTexts:
    """Rows [R, D] rounded, with the shift's coefficient [R]."""
    exact = rows.astype(jnp.float32)
    rounded, step = _round(exact)
    kept = rounded * step[:, None]
    shift = jnp.zeros_like(step) if coefficient is None else coefficient.astype(jnp.float32)
    texts = jnp.stack([step, jnp.maximum(_norm(kept), _norm(exact)), _norm(exact - kept), shift], axis=1)
    whole = jnp.pad(rounded, ((0, 0), (0, -rows.shape[1] % 4)))
    return PackedTexts(whole.astype(jnp.int8), texts, 128 * jnp.sum(whole, axis=1).astype(jnp.int32))


def with_direction(packed: PackedHead, direction: jax.Array | None) -> PackedHead:
    """The packed head with this direction [V], which a call may bring that the head was not packed for."""
    if direction is None:
        return packed
    return packed._replace(tokens=packed.tokens.at[:, ALONG].set(_in_panels(direction.astype(jnp.float32))))


def _round(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Whole numbers from -127 to 127 as float32, and the step size of each row."""
    step = jnp.max(jnp.abs(rows), axis=1) / 127.0
    step = jnp.where(step == 0.0, 1.0, step)
    return jnp.clip(jnp.round(rows / step[:, None]), -127.0, 127.0), step


def _norm(rows: jax.Array) -> jax.Array:
    return NORM_SLACK * jnp.sqrt(jnp.sum(rows * rows, axis=1))


def _in_panels(column: jax.Array, fill: float = 0.0) -> jax.Array:
    return jnp.pad(column, (0, -column.shape[0] % PANEL), constant_values=fill).reshape(-1, PANEL)
