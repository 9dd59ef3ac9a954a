"""Implementation "xla": exact on any backend in O(block) memory, the head applied to one block of rows after another.

Memory of a block of 128 rows: its logits, 128 V 4 bytes, 78 MB at V=151,936, and on CPU the copy of the head that XLA's
matmul packs for itself, V D 4 bytes, 467 MB at D=768.
"""

import jax
import jax.numpy as jnp

from keytokens.kernels.head import PreparedHead
from keytokens.kernels.logits import raw_logits
from keytokens.kernels.result import Options, TopK, finish, scale_and_cap
from keytokens.kernels.rows import map_blocks
from keytokens.kernels.selection import exact_topk


def chunked_topk(hidden: jax.Array, head: PreparedHead, coefficient: jax.Array | None, options: Options) -> TopK:
    """The k largest logits of every text; arguments as in `aligned_topk`."""

    def select(block: tuple[jax.Array, jax.Array | None]) -> TopK:
        rows, row_coefficient = block
        logits = raw_logits(rows, head.weight, head.terms, row_coefficient)
        values, indices = exact_topk(logits, options.k)
        logsumexp = None
        if options.with_logsumexp:
            logsumexp = jax.nn.logsumexp(scale_and_cap(logits, options), axis=-1)
        return finish(values, indices, options, broken=jnp.isnan(values).any(axis=1), logsumexp=logsumexp)

    result: TopK = map_blocks(select, (hidden, coefficient))
    return result
