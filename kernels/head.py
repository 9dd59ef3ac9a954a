"""A LM head prepared once for many batches.

Letters: D hidden size, V vocabulary size, W screening columns (`screening.py`).
"""

import dataclasses

import jax
import jax.numpy as jnp

from keytokens.kernels.arguments import check_head, check_vector
from keytokens.kernels.choice import screening_is_fastest
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
    """

    weight: jax.Array
    terms: Terms
    columns: jax.Array | None

    @property
    def shape(self) -> tuple[int, int]:
        """(V, D)."""
        num_tokens, dim = self.weight.shape
        return num_tokens, dim


def prepare_head(
    head: jax.Array,
    *,
    bias: jax.Array | None = None,
    mask: jax.Array | None = None,
    direction: jax.Array | None = None,
    screening: bool | None = None,
) -> PreparedHead:
    """The head with all that can be computed before the first text is known.

    Args:
      head: [V, D] float32 or bfloat16.
      bias: [V], added to every row's logits.
      mask: bool [V], True where the token may be selected.
      direction: u [D]. `aligned_topk(..., shift=a)` with a [B] then decodes hidden - a[:, None] * u[None, :].
      screening: whether to compute the columns for implementation "screened". None: where that one is the fastest.

    Raises:
      ValueError: a wrong shape or dtype.
    """
    head = jnp.asarray(head)
    check_head(head, bias, mask)
    along = None
    if direction is not None:
        check_vector("direction", direction, head.shape[1])
        along = raw_logits(jnp.stack([direction, direction]), head, Terms(), None)[0]
    terms = Terms(bias, along, mask)
    wanted = screening_is_fastest() if screening is None else screening
    columns = jax.jit(token_columns)(head, terms) if wanted else None
    return PreparedHead(head, terms, columns)
