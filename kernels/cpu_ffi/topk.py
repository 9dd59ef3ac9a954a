"""The selection by the C++ library: logits of 16-bit integers, the k best decided in float32, a logsumexp in passing.

Head and texts are rounded in blocks of w = 64 numbers, each to multiples of a step (`linear.py`). Let s and t be the
Euclidean norms of a text's and a token's steps. Rounding moves a vector by at most sqrt(w) / 2 times that norm; a text
is at most 32,767 times that norm long, a token 65,536 times. So by Cauchy and Schwarz

    | <h, e> - <h', e'> |  <=  49,152 sqrt(w) s t,

0.0002 of |h| |e|: a few tokens more than k may be among the k best. They are scored in float32, and their order is
theirs. Nothing is left to chance. Rows of which thousands of tokens may be among the best, because their logits are
equal, those with numbers that are not finite, in the text or in the head, and those with fewer than k unmasked tokens
are done again by XLA.

The logsumexp takes the k largest terms from float32 and the others from the integers, whose errors average out.

Letters: B texts, D hidden size, V vocabulary size, k kept tokens.
"""

import jax
import jax.numpy as jnp
import numpy as np

from keytokens.kernels.cpu_ffi.library import require_packed
from keytokens.kernels.cpu_ffi.packing import in_panels, pack_head
from keytokens.kernels.head import PreparedHead
from keytokens.kernels.redo import Attempt, redo_uncertified
from keytokens.kernels.result import Options, TopK


def cpu_ffi_topk(hidden: jax.Array, head: PreparedHead, coefficient: jax.Array | None, options: Options) -> TopK:
    """The k largest logits of every text; arguments as in `aligned_topk`.

    Raises:
      ValueError: the library is not built, or the default device is no CPU.
    """
    require_packed("implementation='cpu_ffi'")
    packed = pack_head(head.weight, head.terms) if head.packed is None else head.packed
    nothing = jnp.zeros(0, jnp.float32)
    along, largest = nothing, jnp.zeros((), jnp.float32)
    if head.terms.direction is not None:
        along = in_panels(head.terms.direction)
        largest = jnp.where(jnp.isnan(along).any(), jnp.inf, jnp.abs(along).max())
    shape = (hidden.shape[0], options.k)
    values, indices, logsumexp, certified = jax.ffi.ffi_call(
        "keytokens_topk",
        (
            jax.ShapeDtypeStruct(shape, jnp.float32),
            jax.ShapeDtypeStruct(shape, jnp.int32),
            jax.ShapeDtypeStruct(shape[:1], jnp.float32),
            jax.ShapeDtypeStruct(shape[:1], jnp.bool_),
        ),
    )(
        hidden.astype(jnp.float32),
        packed.panels,
        packed.bias,
        jnp.append(packed.bounds.max(axis=0), largest),
        along,
        nothing if coefficient is None else coefficient.astype(jnp.float32),
        head.weight,
        k=np.int64(options.k),
        scale=np.float32(options.scale),
        softcap=np.float32(options.softcap or 0.0),
        with_logsumexp=options.with_logsumexp,
    )
    attempt = Attempt(values, indices, certified, logsumexp if options.with_logsumexp else None)
    return redo_uncertified(attempt, hidden, head, coefficient, options)
