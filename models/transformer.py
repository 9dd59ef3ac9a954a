"""One transformer for every text backbone: its Spec picks the variant, nothing else differs.

Letters: B texts, T tokens, D width, N heads, H head size.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from keytokens.models import attention
from keytokens.models.layers import PRECISION, Linear, Norm, Table
from keytokens.models.spec import LayerSpec, Spec

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "silu": jax.nn.silu,
    "relu": jax.nn.relu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_new": partial(jax.nn.gelu, approximate=True),
    "gelu_pytorch_tanh": partial(jax.nn.gelu, approximate=True),
}


def make_norm(spec: Spec, width: int) -> Norm:
    """A norm of the Spec's kind."""
    return Norm(width, kind=spec.norm, eps=spec.norm_eps, offset=spec.norm_offset)


class Attention(nnx.Module):
    """Queries, keys, values and the output projection; over itself, or over another sequence."""

    def __init__(self, spec: Spec, *, rngs: nnx.Rngs):
        inner, shared = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
        self.q = Linear(spec.width, inner, biased="q" in spec.biased, rngs=rngs)
        self.k = Linear(spec.width, shared, biased="k" in spec.biased, rngs=rngs)
        self.v = Linear(spec.width, shared, biased="v" in spec.biased, rngs=rngs)
        self.o = Linear(inner, spec.width, biased="o" in spec.biased, rngs=rngs)
        self.q_norm = make_norm(spec, spec.head_dim) if spec.qk_norm else None
        self.k_norm = make_norm(spec, spec.head_dim) if spec.qk_norm else None
        self.spec = spec

    def __call__(
        self,
        x: jax.Array,
        mask: jax.Array,
        *,
        bias: jax.Array | None = None,
        waves: tuple[jax.Array, jax.Array] | None = None,
        source: jax.Array | None = None,
    ) -> jax.Array:
        """float32 [B, T, D] from x [B, T, D], looking at `source` [B, S, D] (x itself by default) through the mask."""
        spec = self.spec
        source = x if source is None else source
        heads = (spec.heads, spec.head_dim)
        queries = self.q(x).reshape(*x.shape[:2], *heads)
        keys, values = (
            part(source).reshape(*source.shape[:2], spec.kv_heads, spec.head_dim) for part in (self.k, self.v)
        )
        if self.q_norm is not None and self.k_norm is not None:
            queries, keys = self.q_norm(queries), self.k_norm(keys)
        if waves is not None:
            queries, keys = attention.rotate(queries, *waves), attention.rotate(keys, *waves)
        dtype = self.q.weight[...].dtype
        mixed = attention.attend(
            queries.astype(dtype),
            keys.astype(dtype),
            values.astype(dtype),
            mask,
            bias=bias,
            scale=spec.score_scale,
            softcap=spec.score_softcap,
            precision=PRECISION,
        )
        return self.o(mixed)


class Mlp(nnx.Module):
    """The feed-forward layer, gated or plain."""

    def __init__(self, spec: Spec, *, rngs: nnx.Rngs):
        self.gate = Linear(spec.width, spec.mlp_width, biased="gate" in spec.biased, rngs=rngs) if spec.gated else None
        self.up = Linear(spec.width, spec.mlp_width, biased="up" in spec.biased, rngs=rngs)
        self.down = Linear(spec.mlp_width, spec.width, biased="down" in spec.biased, rngs=rngs)
        self.activation = ACTIVATIONS[spec.activation]

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, T, D] -> float32 [B, T, D]."""
        if self.gate is None:
            return self.down(self.activation(self.up(x)))
        return self.down(self.activation(self.gate(x)) * self.up(x))


class Block(nnx.Module):
    """Attention and feed-forward layer with their norms, in the order that the Spec says."""

    def __init__(self, spec: Spec, *, rngs: nnx.Rngs):
        self.attn = Attention(spec, rngs=rngs)
        self.mlp = Mlp(spec, rngs=rngs)
        self.attn_norm, self.mlp_norm = make_norm(spec, spec.width), make_norm(spec, spec.width)
        sandwich = spec.order == "sandwich"
        self.attn_post = make_norm(spec, spec.width) if sandwich else None
        self.mlp_post = make_norm(spec, spec.width) if sandwich else None
        self.order = spec.order

    def __call__(
        self,
        x: jax.Array,
        mask: jax.Array,
        *,
        bias: jax.Array | None,
        waves: tuple[jax.Array, jax.Array] | None,
    ) -> jax.Array:
        """float32 [B, T, D] -> float32 [B, T, D]."""
        attend = partial(self.attn, mask=mask, bias=bias, waves=waves)
        if self.order == "post":
            x = self.attn_norm(x + attend(x))
            return self.mlp_norm(x + self.mlp(x))
        if self.attn_post is None or self.mlp_post is None:
            x = x + attend(self.attn_norm(x))
            return x + self.mlp(self.mlp_norm(x))
        x = x + self.attn_post(attend(self.attn_norm(x)))
        return x + self.mlp_post(self.mlp(self.mlp_norm(x)))


class Transformer(nnx.Module):
    """Token ids in, last hidden states out. The blocks are a plain list.

    (`jax.lax.scan` over stacked blocks compiles four times faster, but XLA on CPU converts a bfloat16 stack to float32
    as a whole: 27 GB of scratch memory for 7B parameters against 0.3 GB, measured.)
    """

    def __init__(self, spec: Spec, *, rngs: nnx.Rngs):
        thin = spec.embed_width != spec.width
        self.embed = Table(spec.vocab, spec.embed_width, rngs=rngs)
        self.lift = Linear(spec.embed_width, spec.width, biased=False, rngs=rngs) if thin else None
        self.position = Table(spec.positions, spec.width, rngs=rngs) if spec.positions else None
        self.type = Table(spec.types, spec.width, rngs=rngs) if spec.types else None
        self.embed_norm = make_norm(spec, spec.width) if spec.embed_norm else None
        self.relative = Table(spec.buckets, spec.heads, rngs=rngs) if spec.buckets else None
        self.layers = nnx.List([Block(spec, rngs=rngs) for _ in spec.layers])
        self.norm = make_norm(spec, spec.width) if spec.final_norm else None
        self.drop = Linear(spec.width, spec.embed_width, biased=False, rngs=rngs) if thin else None
        self.spec = spec

    def __call__(self, token_ids: jax.Array, segments: jax.Array) -> jax.Array:
        """Last hidden states, float32 [B, T, D].

        Args:
          token_ids: int32 [B, T].
          segments: int32 [B, T]; tokens see those of their own segment only, 0 is padding.
        """
        return self.hidden_states(token_ids, segments)[-1]

    def hidden_states(self, token_ids: jax.Array, segments: jax.Array) -> list[jax.Array]:
        """What enters each block, and last what leaves the model; float32 [B, T, D] each."""
        positions = attention.run_positions(segments)
        x = self._embed(token_ids, positions)
        bias = self._relative_bias(token_ids.shape[1])
        waves = [attention.rotary_waves(positions, table) for table in self.spec.ropes]
        masks: dict[LayerSpec, jax.Array] = {}
        states = []
        for block, layer in zip(self.layers, self.spec.layers, strict=True):
            states.append(x)
            if layer not in masks:
                masks[layer] = attention.visible(segments, behind=layer.behind, ahead=layer.ahead)
            x = block(x, masks[layer], bias=bias, waves=None if layer.rope is None else waves[layer.rope])
        x = x if self.norm is None else self.norm(x)
        return [*states, x if self.drop is None else self.drop(x)]

    def _embed(self, token_ids: jax.Array, positions: jax.Array) -> jax.Array:
        x = self.embed(token_ids) * self.spec.embed_scale
        if self.lift is not None:
            x = self.lift(x)
        if self.position is not None:
            x = x + self.position(positions + self.spec.first_position)
        if self.type is not None:
            x = x + self.type(jnp.zeros_like(token_ids))
        return x if self.embed_norm is None else self.embed_norm(x)

    def _relative_bias(self, length: int) -> jax.Array | None:
        """float32 [N, T, T], the same in every block."""
        if self.relative is None:
            return None
        spec = self.spec
        buckets = attention.distance_buckets(length, buckets=spec.buckets, reach=spec.bucket_reach)
        return self.relative(buckets).transpose(2, 0, 1)
