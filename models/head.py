"""The LM head: what turns a hidden state into one logit per vocabulary entry."""

from typing import NamedTuple

import jax
from flax import nnx

from keytokens.models.blocks import make_norm
from keytokens.models.layers import Linear
from keytokens.models.spec import Spec


class Head(NamedTuple):
    """Logits are softcap(scale * (transformed @ weight.T + bias)).

    Attributes:
      weight: [V, D], in the embedder's dtype.
      bias: float32 [V], or None.
      scale: positive.
      softcap: c of c * tanh(logits / c), or None.
    """

    weight: jax.Array
    bias: jax.Array | None = None
    scale: float = 1.0
    softcap: float | None = None


class HeadTransform(nnx.Module):
    """What masked language models put before the vocabulary: dense, activation, norm."""

    def __init__(self, spec: Spec, *, rngs: nnx.Rngs | None):
        self.dense = Linear(spec.width, spec.width, biased=True, rngs=rngs)
        self.norm = make_norm(spec, spec.width)
        self.activation = spec.activation

    def __call__(self, hidden: jax.Array) -> jax.Array:
        """[B, D] -> float32 [B, D]."""
        return self.norm(self.dense(hidden, activation=self.activation))
