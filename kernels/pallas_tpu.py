"""Implementation "pallas_tpu": the binned kernel on a TPU, certified, uncertified rows redone.

Unproven: it equals the reference in Pallas' interpreter and compiles ahead of time for v5e and v6e, but it has never
run on a TPU.
"""

import jax
import jax.numpy as jnp

from keytokens.kernels.bins import BLOCK_ROWS, Bins, bins_for, certify, keep_best
from keytokens.kernels.head import PreparedHead
from keytokens.kernels.redo import Attempt, redo_uncertified
from keytokens.kernels.result import Options, TopK


def pallas_tpu_topk(
    hidden: jax.Array,
    head: PreparedHead,
    coefficient: jax.Array | None,
    options: Options,
    *,
    interpret: bool = False,
    block_rows: int = BLOCK_ROWS,
    bins: Bins | None = None,
) -> TopK:
    """The k largest logits of every text; arguments as in `aligned_topk`, the rest for tests without a TPU.

    Raises:
      ValueError: k is above 1000.
    """
    bins = bins or bins_for(options.k)
    weight, rows = head.weight, hidden
    if rows.dtype != weight.dtype:
        rows, weight = rows.astype(jnp.float32), weight.astype(jnp.float32)
    num_rows = rows.shape[0]
    padding = -num_rows % block_rows
    rows = jnp.pad(rows, ((0, padding), (0, 0)))
    padded_coefficient = None if coefficient is None else jnp.pad(coefficient, (0, padding))
    kept = keep_best(
        rows, weight, head.terms, padded_coefficient, bins, options, block_rows=block_rows, interpret=interpret
    )
    values, tokens, certified = (array[:num_rows] for array in certify(kept, options.k))
    values = jnp.where(values == 0.0, 0.0, values)
    result = redo_uncertified(Attempt(values, tokens, certified), hidden, head, coefficient, options)
    if not options.with_logsumexp:
        return result
    return result._replace(logsumexp=jnp.where(jnp.isnan(result.values[:, 0]), jnp.nan, kept.logsumexp[:num_rows, 0]))
