"""A LM head prepared once for many batches.

Letters: D hidden size, V vocabulary size, W screening columns (`screening.py`).
"""

import dataclasses

import jax
import jax.numpy as jnp

from keytokens.kernels.arguments import check_head, check_implementation, check_vector
from keytokens.kernels.choice import fastest_preparation
from keytokens.kernels.cpu_ffi.packing import PackedHead, pack_head
from keytokens.kernels.logits import Terms, raw_logits
from keytokens.kernels.screening import token_columns


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PreparedHead:
    """What `prepare_head` returns and `aligned_topk` takes in place of a head; a pytree.

    Attributes:
      weight: [V, D] float32 or bfloat16, the head as given.
      terms: bias, mask, and for shifts the head applied to their direction.
      columns: bfloat16 [V, W], or None where no implementation that reads it is meant. It costs half the float32 head
        again: 235 MB at V=151,936, D=768.
      packed: the head in int16, or None likewise; it costs as much.
    """

    weight: jax.Array
    terms: Terms
    columns: jax.Array | None = None
    packed: PackedHead | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(V, D)."""
        num_tokens, dim = self.weight.shape
        return num_tokens, dim

    @property
    def prepared_for(self) -> str | None:
        """The implementation whose form of the head is held beside the weight."""
        if self.packed is not None:
            return "cpu_ffi"
        return None if self.columns is None else "screened"


def prepare_head(
    head: jax.Array,
    *,
    bias: jax.Array | None = None,
    mask: jax.Array | None = None,
    direction: jax.Array | None = None,
    implementation: str | None = None,
) -> PreparedHead:
    """The head with all that can be computed before the first text is known.

    Args:
      head: [V, D] float32 or bfloat16.
      bias: [V], added to every row's logits.
      mask: bool [V], True where the token may be selected.
      direction: u [D]. `aligned_topk(..., shift=a)` with a [B] then decodes hidden - a[:, None] * u[None, :].
      implementation: for which to prepare, where that takes more: "screened" (bfloat16 columns) or "cpu_ffi" (int16
        panels). None: for what `aligned_topk` itself would take.

    Raises:
      ValueError: a wrong shape or dtype, or no implementation has this name.
    """
    head = jnp.asarray(head)
    check_head(head, bias, mask)
    check_implementation(implementation)
    along = None
    if direction is not None:
        check_vector("direction", direction, head.shape[1])
        along = raw_logits(jnp.stack([direction, direction]), head, Terms(), None)[0]
    terms = Terms(bias, along, mask)
    if implementation is None:
        implementation = fastest_preparation()
    columns = jax.jit(token_columns)(head, terms) if implementation == "screened" else None
    packed = pack_head(head, terms) if implementation == "cpu_ffi" else None
    return PreparedHead(head, terms, columns, packed)
