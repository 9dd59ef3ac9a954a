"""`aligned_topk`: the one entry to the LM head with top-k selection.

Letters: B texts, D hidden size, V vocabulary size, k kept tokens.

The order, the same for every implementation: value descending, ties to the lower token id, and -0.0 equals 0.0. It is
defined on the raw logits (with bias, shift and mask): a positive scale and a soft-cap keep the order mathematically,
but a saturated soft-cap would make ties in float32 that are none, so both touch only the k selected values.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from keytokens.kernels.chunked import chunked_topk
from keytokens.kernels.reference import reference_topk
from keytokens.kernels.result import TopK

_IMPLEMENTATIONS: dict[str, Callable[..., TopK]] = {"reference": reference_topk, "xla": chunked_topk}
IMPLEMENTATIONS = tuple(_IMPLEMENTATIONS)


def aligned_topk(
    hidden: jax.Array,
    head: jax.Array,
    k: int,
    *,
    bias: jax.Array | None = None,
    shift: tuple[jax.Array, jax.Array] | None = None,
    mask: jax.Array | None = None,
    scale: float = 1.0,
    softcap: float | None = None,
    with_logsumexp: bool = False,
    implementation: str | None = None,
) -> TopK:
    """The k tokens whose logits `hidden @ head.T` are largest, exactly, without ever holding [B, V].

    Args:
      hidden: [B, D] float32 or bfloat16, not normalised. B may be 0.
      head: [V, D] float32 or bfloat16, the LM head as checkpoints store it. Products are summed in float32.
      k: how many tokens to keep, 1 <= k <= V.
      bias: [V], added to every row's logits.
      shift: (a [B], eu [V]): the logits become logits - a[:, None] * eu[None, :]. With eu = head @ u this is the head
        applied to hidden - a u.
      mask: bool [V], True where the token may be selected. When k exceeds the selectable tokens, masked ones follow,
        lowest id first, with the value -inf.
      scale: positive; the selected values are multiplied by it.
      softcap: positive c; the selected scaled values v become c * tanh(v / c), as in Gemma's final soft-cap.
      with_logsumexp: also return log(sum(exp(.))) over the scaled and capped logits of all unmasked tokens.
      implementation: "reference", "xla", or None for the fastest proven one. A name runs that one or raises.

    Returns:
      TopK(values [B, k], indices [B, k], logsumexp [B] or None). A row whose logits contain a NaN has NaN values and
      logsumexp and indices of -1; no other row is touched by it. A row's bits do not depend on the rest of the batch.

    Raises:
      ValueError: an argument has a wrong shape, dtype or range; raised at trace time, before any work.
    """
    _check_arrays(hidden, head, bias, shift, mask)
    _check_options(k, head.shape[0], scale, softcap)
    name = "xla" if implementation is None else implementation
    if name not in _IMPLEMENTATIONS:
        raise ValueError(f"implementation={name!r} is not one of {', '.join(map(repr, IMPLEMENTATIONS))} or None.")
    options = (int(k), float(scale), None if softcap is None else float(softcap), bool(with_logsumexp))
    return _run(name, options, hidden, head, bias, shift, mask)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _run(
    name: str,
    options: tuple[int, float, float | None, bool],
    hidden: jax.Array,
    head: jax.Array,
    bias: jax.Array | None,
    shift: tuple[jax.Array, jax.Array] | None,
    mask: jax.Array | None,
) -> TopK:
    k, scale, softcap, with_logsumexp = options
    if hidden.shape[0] == 0:
        nothing = jnp.zeros((0,), jnp.float32) if with_logsumexp else None
        return TopK(jnp.zeros((0, k), jnp.float32), jnp.zeros((0, k), jnp.int32), nothing)
    return _IMPLEMENTATIONS[name](
        hidden,
        head,
        k,
        bias=bias,
        shift=shift,
        mask=mask,
        scale=scale,
        softcap=softcap,
        with_logsumexp=with_logsumexp,
    )


def _check_arrays(
    hidden: jax.Array,
    head: jax.Array,
    bias: jax.Array | None,
    shift: tuple[jax.Array, jax.Array] | None,
    mask: jax.Array | None,
) -> None:
    floats = (jnp.float32, jnp.bfloat16)
    for name, array, letters in (("hidden", hidden, "[B, D]"), ("head", head, "[V, D]")):
        if array.ndim != 2:
            raise ValueError(f"{name} has shape {tuple(array.shape)}, but must be {letters}.")
        if array.dtype not in floats:
            raise ValueError(f"{name} is {array.dtype}, but must be float32 or bfloat16: cast it first.")
    if hidden.shape[1] != head.shape[1]:
        raise ValueError(
            f"hidden {tuple(hidden.shape)} and head {tuple(head.shape)} differ in D, their last axis: this head "
            "belongs to another model, or is stored transposed; the head must be [V, D], as checkpoints store it."
        )
    num_rows, vocabulary = hidden.shape[0], head.shape[0]
    vectors = [("bias", bias, vocabulary, floats), ("mask", mask, vocabulary, (jnp.bool_,))]
    if shift is not None:
        if not isinstance(shift, tuple) or len(shift) != 2:
            raise ValueError("shift must be the pair (a [B], eu [V]).")
        vectors += [("shift[0]", shift[0], num_rows, floats), ("shift[1]", shift[1], vocabulary, floats)]
    for name, vector, length, dtypes in vectors:
        if vector is None:
            continue
        if vector.shape != (length,):
            raise ValueError(f"{name} has shape {tuple(vector.shape)}, but must be ({length},).")
        if vector.dtype not in dtypes:
            allowed = " or ".join(jnp.dtype(dtype).name for dtype in dtypes)
            raise ValueError(f"{name} is {vector.dtype}, but must be {allowed}: cast it first.")


def _check_options(k: int, vocabulary: int, scale: float, softcap: float | None) -> None:
    if not 1 <= k <= vocabulary:
        raise ValueError(f"k={k}, but must be at least 1 and at most the vocabulary size V={vocabulary}.")
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"scale={scale}, but must be positive and finite: else the order would be lost.")
    if softcap is not None and not (softcap > 0 and math.isfinite(softcap)):
        raise ValueError(f"softcap={softcap}, but must be positive and finite, or None for no cap.")
