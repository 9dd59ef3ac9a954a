"""Attention, feed-forward layer and block: what every layer of every backbone is made of.

Letters: B texts, T tokens, S source tokens, D width.
"""

from functools import partial

import jax
from flax import nnx

from keytokens.models import attention
from keytokens.models.dropout import Drop, keep
from keytokens.models.layers import Linear, Norm
from keytokens.models.ops import XLA, Ops, Sight
from keytokens.models.spec import Spec


def make_norm(spec: Spec, width: int) -> Norm:
    """A norm of the Spec's kind."""
    return Norm(width, kind=spec.norm, eps=spec.norm_eps, offset=spec.norm_offset)


class Attention(nnx.Module):
    """Queries, keys, values and the output projection; over itself, or over another sequence."""

    def __init__(self, spec: Spec, *, rngs: nnx.Rngs | None, ops: Ops = XLA):
        inner, shared = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
        self.q = Linear(spec.width, inner, biased="q" in spec.biased, rngs=rngs, ops=ops)
        self.k = Linear(spec.width, shared, biased="k" in spec.biased, rngs=rngs, ops=ops)
        self.v = Linear(spec.width, shared, biased="v" in spec.biased, rngs=rngs, ops=ops)
        self.o = Linear(inner, spec.width, biased="o" in spec.biased, rngs=rngs, ops=ops)
        self.q_norm = make_norm(spec, spec.head_dim) if spec.qk_norm else None
        self.k_norm = make_norm(spec, spec.head_dim) if spec.qk_norm else None
        self.spec, self.ops = spec, ops

    def __call__(
        self,
        x: jax.Array,
        sight: Sight,
        *,
        bias: jax.Array | None = None,
        waves: tuple[jax.Array, jax.Array] | None = None,
        source: jax.Array | None = None,
    ) -> jax.Array:
        """float32 [B, T, D] from x [B, T, D], looking at `source` [B, S, D], by default x itself."""
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
        mixed = self.ops.attend(
            queries,
            keys,
            values,
            sight,
            bias=bias,
            scale=spec.score_scale,
            softcap=spec.score_softcap,
            dtype=self.q.weight[...].dtype,
        )
        return self.o(mixed)


class Mlp(nnx.Module):
    """The feed-forward layer, gated or plain."""

    def __init__(self, spec: Spec, *, rngs: nnx.Rngs | None, ops: Ops = XLA):
        inside = partial(Linear, spec.width, spec.mlp_width, rngs=rngs, ops=ops)
        self.gate = inside(biased="gate" in spec.biased) if spec.gated else None
        self.up = inside(biased="up" in spec.biased)
        self.down = Linear(spec.mlp_width, spec.width, biased="down" in spec.biased, rngs=rngs, ops=ops)
        self.activation = spec.activation

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, T, D] -> float32 [B, T, D]."""
        if self.gate is None:
            return self.down(self.up(x, activation=self.activation))
        return self.down(self.gate(x, activation=self.activation) * self.up(x))


class Block(nnx.Module):
    """Attention and feed-forward layer with their norms, in the order that the Spec says."""

    def __init__(self, spec: Spec, *, rngs: nnx.Rngs | None, ops: Ops = XLA):
        self.attn = Attention(spec, rngs=rngs, ops=ops)
        self.mlp = Mlp(spec, rngs=rngs, ops=ops)
        self.attn_norm, self.mlp_norm = make_norm(spec, spec.width), make_norm(spec, spec.width)
        sandwich = spec.order == "sandwich"
        self.attn_post = make_norm(spec, spec.width) if sandwich else None
        self.mlp_post = make_norm(spec, spec.width) if sandwich else None
        self.order = spec.order

    def __call__(
        self,
        x: jax.Array,
        sight: Sight,
        *,
        bias: jax.Array | None,
        waves: tuple[jax.Array, jax.Array] | None,
        drop: Drop = keep,
    ) -> jax.Array:
        """float32 [B, T, D] -> float32 [B, T, D]."""
        attend = partial(self.attn, sight=sight, bias=bias, waves=waves)
        if self.order == "post":
            x = self.attn_norm(x + drop(attend(x)))
            return self.mlp_norm(x + drop(self.mlp(x)))
        if self.attn_post is None or self.mlp_post is None:
            x = x + drop(attend(self.attn_norm(x)))
            return x + drop(self.mlp(self.mlp_norm(x)))
        x = x + drop(self.attn_post(attend(self.attn_norm(x))))
        return x + drop(self.mlp_post(self.mlp(self.mlp_norm(x))))
