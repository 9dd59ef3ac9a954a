"""The selection by the C++ library: screened in int8, decided in float32, uncertified rows redone.

Letters: B texts, D hidden size, V vocabulary size, k kept tokens.
"""

import jax
import jax.numpy as jnp
import numpy as np

from keytokens.kernels.cpu_ffi.library import require
from keytokens.kernels.cpu_ffi.packing import pack_head, pack_texts, with_direction
from keytokens.kernels.head import PreparedHead
from keytokens.kernels.redo import Attempt, redo_uncertified
from keytokens.kernels.result import Options, TopK


def cpu_ffi_topk(
    hidden: jax.Array,
    head: PreparedHead,
    coefficient: jax.Array | None,
    options: Options,
    *,
    portable: bool = False,
) -> TopK:
    """The k largest logits of every text; arguments as in `aligned_topk`, `portable` for the loop without AVX512.

    Raises:
      ValueError: the library is not built, the default device is no CPU, or a logsumexp is asked for.
    """
    if options.with_logsumexp:
        raise ValueError(
            "with_logsumexp=True needs every logit in float32, which implementation='cpu_ffi' exists to avoid: "
            "use implementation='xla' or None."
        )
    require("implementation='cpu_ffi'")
    packed = pack_head(head.weight, head.terms) if head.packed is None else head.packed
    packed = with_direction(packed, head.terms.direction)
    texts = pack_texts(hidden, coefficient)
    shape = (hidden.shape[0], options.k)
    screen = jax.ffi.ffi_call(
        "keytokens_screen",
        (
            jax.ShapeDtypeStruct(shape, jnp.float32),
            jax.ShapeDtypeStruct(shape, jnp.int32),
            jax.ShapeDtypeStruct(shape[:1], jnp.bool_),
        ),
    )
    whole = (array.astype(jnp.float32) for array in (hidden, head.weight))
    values, indices, certified = screen(*texts, *packed, *whole, k=np.int64(options.k), portable=portable)
    return redo_uncertified(Attempt(values, indices, certified), hidden, head, coefficient, options)
