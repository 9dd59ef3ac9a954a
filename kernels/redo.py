"""The exact path for rows whose certificate failed: whatever shortcut was taken, the answer ends up exact.

Letters: B texts, k kept tokens.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from keytokens.kernels.head import PreparedHead
from keytokens.kernels.logits import raw_logits
from keytokens.kernels.result import Options, TopK, finish, scale_and_cap
from keytokens.kernels.rows import SMALL_BLOCK_ROWS
from keytokens.kernels.selection import one_stage

State = tuple[jax.Array, jax.Array, jax.Array | None, jax.Array]


class Attempt(NamedTuple):
    """What a shortcut selected.

    Attributes:
      values: float32 [B, k]. Raw logits.
      indices: int32 [B, k].
      certified: bool [B]. True where this is proven to be the top k, and no logit is a NaN.
      logsumexp: float32 [B], or None where it was not asked for.
    """

    values: jax.Array
    indices: jax.Array
    certified: jax.Array
    logsumexp: jax.Array | None = None


def redo_uncertified(
    attempt: Attempt,
    hidden: jax.Array,
    head: PreparedHead,
    coefficient: jax.Array | None,
    options: Options,
) -> TopK:
    """The attempt with every uncertified row computed again from all its logits, a small block of rows at a time."""
    num_rows = hidden.shape[0]
    block_rows = SMALL_BLOCK_ROWS
    left = ~attempt.certified

    def any_left(state: State) -> jax.Array:
        return state[3].any()

    def redo(state: State) -> State:
        values, indices, logsumexp, left = state
        # The first rows left, and B, which every read clips and every write drops, where fewer are.
        rows = jnp.nonzero(left, size=block_rows, fill_value=num_rows)[0]
        some_hidden, some_coefficient = jax.tree.map(
            lambda array: array.at[rows].get(mode="clip"), (hidden, coefficient)
        )
        logits = raw_logits(some_hidden, head.weight, head.terms, some_coefficient)
        new_values, new_indices = one_stage(logits, options.k)  # rare, and quick to compile
        if logsumexp is not None:
            of_rows = jax.nn.logsumexp(scale_and_cap(logits, options), axis=-1)
            logsumexp = logsumexp.at[rows].set(of_rows, mode="drop")
        return (
            values.at[rows].set(new_values, mode="drop"),
            indices.at[rows].set(new_indices, mode="drop"),
            logsumexp,
            left.at[rows].set(False, mode="drop"),
        )

    start = (attempt.values, attempt.indices, attempt.logsumexp, left)
    values, indices, logsumexp, _ = lax.while_loop(any_left, redo, start)
    broken = jnp.isnan(values).any(axis=1)
    return finish(values, indices, options, broken=broken, logsumexp=logsumexp, redone=left)
