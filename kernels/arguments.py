"""What `aligned_topk` and `prepare_head` refuse, and how they say it. Checked at trace time, before any work."""

import operator
from typing import SupportsIndex

import jax
import jax.numpy as jnp

from keytokens.kernels.unproven import OPT_IN

FLOATS = (jnp.float32, jnp.bfloat16)
_SMALLEST, _LARGEST = float(jnp.finfo(jnp.float32).tiny), float(jnp.finfo(jnp.float32).max)
IMPLEMENTATIONS = ("reference", "xla", "screened", "cpu_ffi", "pallas_tpu", "mosaic_gpu")


def check_head(head: jax.Array, bias: jax.Array | None, mask: jax.Array | None) -> None:
    """Raises ValueError unless head is [V, D], bias [V] and mask bool [V]."""
    _check_matrix("head", head, "[V, D]")
    check_vector("bias", bias, head.shape[0])
    check_vector("mask", mask, head.shape[0], (jnp.bool_,))


def check_hidden(hidden: jax.Array, head_shape: tuple[int, int]) -> None:
    """Raises ValueError unless hidden is [B, D] with the head's D."""
    _check_matrix("hidden", hidden, "[B, D]")
    if hidden.shape[1] != head_shape[1]:
        raise ValueError(
            f"hidden {tuple(hidden.shape)} and head {tuple(head_shape)} differ in D, their last axis: this head "
            "belongs to another model, or is stored transposed; the head must be [V, D], as checkpoints store it."
        )


def check_vector(name: str, vector: jax.Array | None, length: int, dtypes: tuple[type, ...] = FLOATS) -> None:
    """Raises ValueError unless the vector is None or [length] of one of the dtypes."""
    if vector is None:
        return
    if vector.shape != (length,):
        raise ValueError(f"{name} has shape {tuple(vector.shape)}, but must be ({length},).")
    if vector.dtype not in dtypes:
        allowed = " or ".join(jnp.dtype(dtype).name for dtype in dtypes)
        raise ValueError(f"{name} is {vector.dtype}, but must be {allowed}: cast it first.")


def check_options(k: SupportsIndex, vocabulary: int, scale: float, softcap: float | None) -> None:
    """Raises ValueError unless k is whole and 1 <= k <= V, and scale and softcap are positive and finite in float32."""
    try:
        whole = operator.index(k)
    except TypeError:
        raise ValueError(f"k={k!r}, but must be a whole number: so many tokens are kept.") from None
    if not 1 <= whole <= vocabulary:
        raise ValueError(f"k={k}, but must be at least 1 and at most the vocabulary size V={vocabulary}.")
    if not _is_positive(scale):
        raise ValueError(f"scale={scale}, but must be positive and finite in float32: else the order would be lost.")
    if softcap is not None and not _is_positive(softcap):
        raise ValueError(f"softcap={softcap}, but must be positive and finite in float32, or None for no cap.")


def _is_positive(number: float) -> bool:
    """Whether it is as a normal number of float32; XLA takes smaller ones for zero."""
    return _SMALLEST <= float(number) <= _LARGEST


def check_implementation(name: str | None) -> None:
    """Raises ValueError unless it is None or one of IMPLEMENTATIONS."""
    if name is not None and name.removeprefix(OPT_IN) not in IMPLEMENTATIONS:
        names = ", ".join(map(repr, IMPLEMENTATIONS))
        raise ValueError(f"implementation={name!r} is not one of {names} or None.")


def _check_matrix(name: str, array: jax.Array, letters: str) -> None:
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {tuple(array.shape)}, but must be {letters}.")
    if array.shape[1] == 0:
        raise ValueError(f"{name} has shape {tuple(array.shape)}, but D, its last axis, must be at least 1.")
    if array.dtype not in FLOATS:
        raise ValueError(f"{name} is {array.dtype}, but must be float32 or bfloat16: cast it first.")
