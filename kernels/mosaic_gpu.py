"""Implementation "mosaic_gpu": the Hopper kernel, then selection from its group maxima, certified.

Unproven: it compiles ahead of time for H200 (sm_90a), but its numbers have never been seen; Pallas' interpreter cannot
run its pipeline. For bfloat16 hidden and head only, whose products in float32 are exact.

Letters: R rows of a block, D hidden size, W = D + 4 rounded up to 64, V vocabulary size, k kept tokens.
"""

import jax
import jax.numpy as jnp
from jax import lax

from keytokens.kernels.group_maxima import (
    GROUP_SIZE,
    NUM_MAXIMA,
    TILE_ROWS,
    TILE_TOKENS,
    TILE_WIDTH,
    WARPGROUPS,
    logits_and_maxima,
)
from keytokens.kernels.head import PreparedHead
from keytokens.kernels.logits import Terms, tidy
from keytokens.kernels.redo import Attempt, redo_uncertified
from keytokens.kernels.result import Options, TopK
from keytokens.kernels.selection import exact_topk

# Logits of one block: 512 V 4 bytes, 311 MB at V = 151,936.
BLOCK_ROWS = 4 * TILE_ROWS
NEVER = -1e30
NUM_ADDED = 4


def mosaic_gpu_topk(hidden: jax.Array, head: PreparedHead, coefficient: jax.Array | None, options: Options) -> TopK:
    """The k largest logits of every text; arguments as in `aligned_topk`.

    Raises:
      ValueError: float32 inputs, a shift, a logsumexp, or k above what the groups can decide.
    """
    weight = head.weight
    _check(hidden, weight, coefficient, options)
    num_rows = hidden.shape[0]
    columns = folded_head(weight, head.terms)
    ones = jnp.ones((num_rows, NUM_ADDED), jnp.bfloat16)
    rows = jnp.concatenate([hidden, ones], axis=1)
    block_rows = min(BLOCK_ROWS, num_rows + -num_rows % TILE_ROWS)
    rows = jnp.pad(rows, ((0, -num_rows % block_rows), (0, columns.shape[1] - rows.shape[1])))

    def select(block: jax.Array) -> Attempt:
        return select_by_groups(*logits_and_maxima(block, columns), options.k)

    attempt: Attempt = lax.map(select, rows.reshape(-1, block_rows, rows.shape[1]))
    attempt = jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:])[:num_rows], attempt)
    return redo_uncertified(attempt, hidden, head, coefficient, options)


def folded_head(weight: jax.Array, terms: Terms) -> jax.Array:
    """Bfloat16 [V up to 256, W] from weight [V, D]: times hidden and ones it adds the bias and rules out the masked.

    The bias takes three columns, the parts of its 24 bits; -1e30 in the fourth rules out masked and padded tokens.
    """
    vocabulary, dim = weight.shape
    parts = []
    rest = jnp.zeros(vocabulary, jnp.float32) if terms.bias is None else terms.bias.astype(jnp.float32)
    for _ in range(3):
        parts.append(rest.astype(jnp.bfloat16))
        rest = rest - parts[-1].astype(jnp.float32)
    allowed = jnp.ones(vocabulary, bool) if terms.mask is None else terms.mask
    never = jnp.bfloat16(NEVER)
    parts.append(jnp.where(allowed, jnp.bfloat16(0.0), never))
    folded = jnp.concatenate([weight, jnp.stack(parts, axis=1)], axis=1)
    padding = -vocabulary % (WARPGROUPS * TILE_TOKENS)
    folded = jnp.pad(folded, ((0, padding), (0, -(dim + NUM_ADDED) % TILE_WIDTH)))
    return folded.at[vocabulary:, dim + NUM_ADDED - 1].set(never)


def select_by_groups(logits: jax.Array, maxima: jax.Array, k: int) -> Attempt:
    """The k largest of logits [R, V] among the k groups with the largest maxima [R, V / 16].

    A group holds tokens 8 apart, so equal values across groups are not in the order of their ids: a row is certified
    only if every other group's maximum is strictly below its k-th value. Ruled-out tokens are never certified.
    """
    best_maxima, best = exact_topk(maxima, k + 1)
    groups = jnp.sort(best[:, :k], axis=1)
    first = groups // NUM_MAXIMA * TILE_TOKENS + groups % NUM_MAXIMA
    tokens = first[:, :, None] + NUM_MAXIMA * jnp.arange(GROUP_SIZE, dtype=jnp.int32)[None, None, :]
    tokens = jnp.sort(tokens.reshape(tokens.shape[0], -1), axis=1)
    candidates = tidy(jnp.take_along_axis(logits, tokens, axis=1, mode="promise_in_bounds"))
    values, places = exact_topk(candidates, k)
    indices = jnp.take_along_axis(tokens, places, axis=1, mode="promise_in_bounds")
    certified = (best_maxima[:, -1] < values[:, -1]) & (values[:, -1] > NEVER / 2) & ~jnp.isnan(best_maxima[:, 0])
    return Attempt(values, indices, certified & (values[:, 0] < jnp.inf))


def _check(hidden: jax.Array, weight: jax.Array, coefficient: jax.Array | None, options: Options) -> None:
    reason = None
    if hidden.dtype != jnp.bfloat16 or weight.dtype != jnp.bfloat16:
        reason = f"multiplies bfloat16, but hidden is {hidden.dtype} and head {weight.dtype}"
    elif coefficient is not None:
        reason = "has no shift: subtract a[:, None] * u from hidden instead"
    elif options.with_logsumexp:
        reason = "computes no logsumexp"
    elif options.k >= weight.shape[0] // GROUP_SIZE:
        reason = f"needs k below V / {GROUP_SIZE}, but k={options.k} and V={weight.shape[0]}"
    if reason is not None:
        raise ValueError(f"implementation='mosaic_gpu' {reason}: use implementation='xla' or None.")
