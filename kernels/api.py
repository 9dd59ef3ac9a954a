"""`aligned_topk`: the one entry to the LM head with top-k selection.

Letters: B texts, D hidden size, V vocabulary size, k kept tokens.

The order, the same for every implementation: value descending, ties to the lower token id, and -0.0 equals 0.0. It is
defined on the raw logits (with bias, shift and mask): a positive scale and a soft-cap keep the order mathematically,
but a saturated soft-cap would make ties in float32 that are none, so both, and log1p, touch only the k selected values.
"""

import dataclasses
import functools
import importlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from keytokens.kernels.arguments import check_head, check_hidden, check_implementation, check_options, check_vector
from keytokens.kernels.choice import choose
from keytokens.kernels.chunked import chunked_topk
from keytokens.kernels.cpu_ffi.topk import cpu_ffi_topk
from keytokens.kernels.head import PreparedHead
from keytokens.kernels.logits import Terms
from keytokens.kernels.reference import reference_topk
from keytokens.kernels.result import Options, TopK
from keytokens.kernels.screened import screened_topk
from keytokens.kernels.unproven import proven_name

Shift = tuple[jax.Array, jax.Array] | jax.Array
Implementation = Callable[[jax.Array, PreparedHead, jax.Array | None, Options], TopK]


def _imported_when_asked_for(name: str) -> Implementation:
    """The function NAME_topk of module NAME. Pallas takes half a second to import, and for GPUs it needs absl."""

    def topk(*arguments: Any) -> TopK:
        module = importlib.import_module(f"keytokens.kernels.{name}")
        result: TopK = getattr(module, f"{name}_topk")(*arguments)
        return result

    return topk


_IMPLEMENTATIONS: dict[str, Implementation] = {
    "reference": reference_topk,
    "xla": chunked_topk,
    "screened": screened_topk,
    "cpu_ffi": cpu_ffi_topk,
    "pallas_tpu": _imported_when_asked_for("pallas_tpu"),
    "mosaic_gpu": _imported_when_asked_for("mosaic_gpu"),
}


def aligned_topk(
    hidden: jax.Array,
    head: jax.Array | PreparedHead,
    k: int,
    *,
    bias: jax.Array | None = None,
    shift: Shift | None = None,
    mask: jax.Array | None = None,
    scale: float = 1.0,
    softcap: float | None = None,
    log1p: bool = False,
    with_logsumexp: bool = False,
    implementation: str | None = None,
) -> TopK:
    """The k tokens whose logits `hidden @ head.T` are largest, exactly, without ever holding [B, V].

    Args:
      hidden: [B, D] float32 or bfloat16, not normalised. B may be 0.
      head: [V, D] float32 or bfloat16, the LM head as checkpoints store it, or what `prepare_head` made of it. Products
        are summed in float32.
      k: how many tokens to keep, 1 <= k <= V.
      bias: [V], added to every row's logits. A prepared head brings its own.
      shift: (a [B], eu [V]): the logits become logits - a[:, None] * eu[None, :]. With eu = head @ u this is the head
        applied to hidden - a u. With a head prepared for the direction u: a [B] alone.
      mask: bool [V], True where the token may be selected. When k exceeds the selectable tokens, masked ones follow,
        lowest id first, with the value -inf. A prepared head brings its own.
      scale: positive; the selected values are multiplied by it.
      softcap: positive c; the selected scaled values v become c * tanh(v / c), as in Gemma's final soft-cap.
      log1p: the selected values v, scaled and capped, become log(1 + max(v, 0)): 0 for negative and masked tokens.
        These are the weights of learned sparse retrieval (SPLADE, arXiv 2107.05720); the order, and logsumexp, are
        those of the logits.
      with_logsumexp: also return log(sum(exp(.))) over the scaled and capped logits of all unmasked tokens.
      implementation: one of IMPLEMENTATIONS, or None for the fastest that is proven here (`choice.py`). A name runs
        that one or raises. The unproven ones (`unproven.py`) run only as "unproven:NAME".

    Returns:
      TopK(values [B, k], indices [B, k], logsumexp [B] or None, redone [B] or None). A row whose logits contain a NaN
      has NaN values and logsumexp and indices of -1; no other row is touched by it. A row's bits do not depend on the
      rest of the batch.

    Raises:
      ValueError: an argument has a wrong shape, dtype or range, or the implementation cannot do what is asked; raised
        at trace time, before any work.
    """
    prepared = _prepared(head, bias, mask)
    check_hidden(hidden, prepared.shape)
    prepared, coefficient = _with_shift(prepared, shift, hidden.shape[0])
    vocabulary = prepared.shape[0]
    check_options(k, vocabulary, scale, softcap)
    cap = None if softcap is None else float(softcap)
    options = Options(int(k), float(scale), cap, bool(with_logsumexp), log1p=bool(log1p))
    return _run(implementation, options, hidden, prepared, coefficient)


def run_implementation(
    name: str | None, options: Options, hidden: jax.Array, head: PreparedHead, coefficient: jax.Array | None
) -> TopK:
    """The selection by the implementation of this name, for checked arguments; traced, not compiled."""
    if name is None:
        name = choose(
            k=options.k,
            vocabulary=head.shape[0],
            with_logsumexp=options.with_logsumexp,
            prepared_for=head.prepared_for,
        )
    check_implementation(name)
    name = proven_name(name)
    if hidden.shape[0] == 0:
        nothing = jnp.zeros((0,), jnp.float32) if options.with_logsumexp else None
        return TopK(jnp.zeros((0, options.k), jnp.float32), jnp.zeros((0, options.k), jnp.int32), nothing)
    return _IMPLEMENTATIONS[name](hidden, head, coefficient, options)


_run = functools.partial(jax.jit, static_argnums=(0, 1))(run_implementation)


def _prepared(head: jax.Array | PreparedHead, bias: jax.Array | None, mask: jax.Array | None) -> PreparedHead:
    if isinstance(head, PreparedHead):
        if bias is not None or mask is not None:
            raise ValueError("A prepared head brings its own bias and mask: give them to prepare_head instead.")
        return head
    check_head(head, bias, mask)
    return PreparedHead(head, Terms(bias=bias, mask=mask))


def _with_shift(head: PreparedHead, shift: Shift | None, num_rows: int) -> tuple[PreparedHead, jax.Array | None]:
    """The head with the direction of the shift, or with none, and the shift's coefficient [B]."""
    coefficient, direction = None, None
    if isinstance(shift, tuple):
        if len(shift) != 2:
            raise ValueError(f"shift has {len(shift)} parts, but must be the pair (a [B], eu [V]).")
        coefficient, direction = shift
    elif shift is not None:
        coefficient, direction = shift, head.terms.direction
        if direction is None:
            raise ValueError("shift is one array, but this head was prepared for no direction: give (a [B], eu [V]).")
    check_vector("shift[0]", coefficient, num_rows)
    check_vector("shift[1]", direction, head.shape[0])
    return dataclasses.replace(head, terms=head.terms._replace(direction=direction)), coefficient
