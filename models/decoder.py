"""The first step of an encoder-decoder's decoder: what it would say first, having read the text.

Letters: B texts, T tokens, D width.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from keytokens.models.blocks import Attention, Mlp, make_norm
from keytokens.models.ops import Sight
from keytokens.models.spec import Spec


class DecoderBlock(nnx.Module):
    """Attention to itself, to the encoder, and the feed-forward layer; each normed before."""

    def __init__(self, spec: Spec, *, rngs: nnx.Rngs | None):
        self.attn, self.cross, self.mlp = Attention(spec, rngs=rngs), Attention(spec, rngs=rngs), Mlp(spec, rngs=rngs)
        self.attn_norm, self.cross_norm, self.mlp_norm = (make_norm(spec, spec.width) for _ in range(3))

    def __call__(self, x: jax.Array, states: jax.Array, mask: jax.Array) -> jax.Array:
        """float32 [B, 1, D] -> float32 [B, 1, D]."""
        alone = jnp.ones((x.shape[0], 1, 1), bool)
        x = x + self.attn(self.attn_norm(x), Sight(alone))
        x = x + self.cross(self.cross_norm(x), Sight(mask), source=states)
        return x + self.mlp(self.mlp_norm(x))


class FirstStep(nnx.Module):
    """The decoder, run for its start token alone."""

    def __init__(self, spec: Spec, *, rngs: nnx.Rngs | None):
        self.layers = nnx.List([DecoderBlock(spec, rngs=rngs) for _ in range(spec.decoder_layers)])
        self.norm = make_norm(spec, spec.width)

    def __call__(self, start: jax.Array, states: jax.Array, segments: jax.Array) -> jax.Array:
        """What the head reads, float32 [B, D].

        Args:
          start: embedding of the start token, [D].
          states: what the encoder made of the text, [B, T, D].
          segments: int32 [B, T], 0 where padded.
        """
        x = jnp.broadcast_to(start[None, None], (states.shape[0], 1, start.shape[0]))
        mask = (segments > 0)[:, None]
        for block in self.layers:
            x = block(x, states, mask)
        return self.norm(x)[:, 0]
