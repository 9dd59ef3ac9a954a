"""One transformer for every text backbone: its Spec picks the variant, nothing else differs.

Letters: B texts, T tokens, D width, N heads.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from keytokens.models import attention
from keytokens.models.blocks import Block, make_norm
from keytokens.models.decoder import FirstStep
from keytokens.models.dropout import Drop, keep
from keytokens.models.layers import Linear, Table
from keytokens.models.ops import XLA, Ops, Sight
from keytokens.models.spec import LayerSpec, Spec


class Transformer(nnx.Module):
    """Token ids in, last hidden states out. The blocks are a plain list.

    (`jax.lax.scan` over stacked blocks compiles four times faster, but XLA on CPU converts a bfloat16 stack to float32
    as a whole: 27 GB of scratch memory for 7B parameters against 0.3 GB, measured.)
    """

    def __init__(self, spec: Spec, *, rngs: nnx.Rngs | None, ops: Ops = XLA):
        thin = spec.embed_width != spec.width
        self.embed = Table(spec.vocab, spec.embed_width, rngs=rngs)
        self.lift = Linear(spec.embed_width, spec.width, biased=False, rngs=rngs) if thin else None
        self.position = Table(spec.positions, spec.width, rngs=rngs) if spec.positions else None
        self.type = Table(spec.types, spec.width, rngs=rngs) if spec.types else None
        self.embed_norm = make_norm(spec, spec.width) if spec.embed_norm else None
        self.relative = Table(spec.buckets, spec.heads, rngs=rngs) if spec.buckets else None
        self.layers = nnx.List([Block(spec, rngs=rngs, ops=ops) for _ in spec.layers])
        self.norm = make_norm(spec, spec.width) if spec.final_norm else None
        self.drop = Linear(spec.width, spec.embed_width, biased=False, rngs=rngs) if thin else None
        self.decoder = FirstStep(spec, rngs=rngs) if spec.decoder_layers else None
        self.spec = spec

    def __call__(self, token_ids: jax.Array, segments: jax.Array, *, drop: Drop = keep) -> jax.Array:
        """Last hidden states, float32 [B, T, D].

        Args:
          token_ids: int32 [B, T].
          segments: int32 [B, T]; tokens see those of their own segment only, 0 is padding.
          drop: noise on the embeddings and on every sub-layer's output, for training.
        """
        return self.hidden_states(token_ids, segments, drop=drop)[-1]

    def hidden_states(self, token_ids: jax.Array, segments: jax.Array, *, drop: Drop = keep) -> list[jax.Array]:
        """What enters each block, and last what leaves the model; float32 [B, T, D] each."""
        positions = attention.run_positions(segments)
        x = drop(self._embed(token_ids, positions))
        bias = self._relative_bias(token_ids.shape[1])
        waves = [attention.rotary_waves(positions, table) for table in self.spec.ropes]
        sights: dict[LayerSpec, Sight] = {}
        states = []
        for block, layer in zip(self.layers, self.spec.layers, strict=True):
            states.append(x)
            if layer not in sights:
                mask = attention.visible(segments, behind=layer.behind, ahead=layer.ahead)
                sights[layer] = Sight(mask, segments, layer.behind, layer.ahead)
            x = block(x, sights[layer], bias=bias, waves=None if layer.rope is None else waves[layer.rope], drop=drop)
        x = x if self.norm is None else self.norm(x)
        return [*states, x if self.drop is None else self.drop(x)]

    def first_step(self, token_ids: jax.Array, segments: jax.Array) -> jax.Array:
        """What the decoder makes of its start token, having read the text; float32 [B, D]."""
        assert self.decoder is not None, "the Spec has no decoder layers"
        start = self.embed(jnp.asarray(self.spec.start_id))
        return self.decoder(start, self(token_ids, segments), segments)

    def _embed(self, token_ids: jax.Array, positions: jax.Array) -> jax.Array:
        x = self.embed(token_ids) * self.spec.embed_scale
        if self.lift is not None:
            x = self.lift(x)
        if self.position is not None:
            x = x + self.position(positions + self.spec.first_position)
        if self.type is not None:
            x = x + self.type(jnp.zeros((1, 1), jnp.int32))
        return x if self.embed_norm is None else self.embed_norm(x)

    def _relative_bias(self, length: int) -> jax.Array | None:
        """float32 [N, T, T], the same in every block."""
        if self.relative is None:
            return None
        spec = self.spec
        buckets = attention.distance_buckets(length, buckets=spec.buckets, reach=spec.bucket_reach)
        return self.relative(buckets).transpose(2, 0, 1)
