"""Attention, feed-forward layer and block: what every layer of every backbone is made of.

Letters: B texts, T tokens, S source tokens, D width.
"""

from functools import partial

import jax
from flax import nnx

from keytokens.models import attention
from keytokens.models.dropout import Drop, keep
from keytokens.models.layers import Linear, Norm
from keytokens.models.ops import XLA, Join, Ops, Sight
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
        join: Join | None = None,
    ) -> jax.Array:
        """float32 [B, T, D] from x [B, T, D], looking at `source` [B, S, D], by default x itself."""
        spec = self.spec
        q, k, v = (part.map() for part in (self.q, self.k, self.v))
        if source is None:
            projected = self.ops.linears(x, [q, k, v])
        else:
            projected = (*self.ops.linears(x, [q]), *self.ops.linears(source, [k, v]))
        queries, keys, values = (array.reshape(*array.shape[:2], -1, spec.head_dim) for array in projected)
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
        return self.o(mixed, join=join)


class Mlp(nnx.Module):
    """The feed-forward layer, gated or plain."""

    def __init__(self, spec: Spec, *, rngs: nnx.Rngs | None, ops: Ops = XLA):
        inside = partial(Linear, spec.width, spec.mlp_width, rngs=rngs, ops=ops)
        self.gate = inside(biased="gate" in spec.biased) if spec.gated else None
        self.up = inside(biased="up" in spec.biased)
        self.down = Linear(spec.mlp_width, spec.width, biased="down" in spec.biased, rngs=rngs, ops=ops)
        self.activation, self.ops = spec.activation, ops

    def __call__(self, x: jax.Array, *, join: Join | None = None) -> jax.Array:
        """[B, T, D] -> float32 [B, T, D]."""
        gate = None if self.gate is None else self.gate.map()
        return self.ops.feed_forward(
            x, self.up.map(), self.down.map(), gate=gate, activation=self.activation, join=join
        )


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
            x = attend(x, join=Join(x, self.attn_norm.norm(), drop))
            return self.mlp(x, join=Join(x, self.mlp_norm.norm(), drop))
        if self.attn_post is None or self.mlp_post is None:
            x = attend(self.attn_norm(x), join=Join(x, drop=drop))
            return self.mlp(self.mlp_norm(x), join=Join(x, drop=drop))
        x = x + drop(self.attn_post(attend(self.attn_norm(x))))
        return x + drop(self.mlp_post(self.mlp(self.mlp_norm(x))))
