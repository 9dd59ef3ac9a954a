"""Which arithmetic does an embedder's dtype stand for? "int16" is the C++ library's, everything else XLA's."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from keytokens import kernels, models
from keytokens.pipelines import run_errors

# Names of `models.Spec.activation` -> those of the kernel.
_ACTIVATIONS = {
    None: None,
    "relu": "relu",
    "silu": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}


class IntegersMissingError(run_errors.RunError, ValueError):
    """This machine does not multiply 16-bit integers."""


def ops_for(dtype: str) -> models.Ops:
    """What the blocks of an embedder of this dtype compute with.

    Raises:
      IntegersMissingError: "int16" without the C++ library, or on another device than a CPU.
    """
    if dtype != "int16":
        return models.XLA
    try:
        kernels.require_packed("dtype='int16'")
    except ValueError as error:
        raise IntegersMissingError(str(error)) from error
    return _PACKED


def packs_whole_batches(spec: models.Spec, dtype: str) -> bool:
    """Whether attention costs what the texts' own pairs cost, so that a whole batch may share one row.

    XLA computes all pairs of a row and masks, as it does for the biases and soft-caps that the kernel does not know.
    """
    return dtype == "int16" and not spec.buckets and spec.score_softcap is None


def prepared_head(head: models.Head, dtype: str) -> kernels.PreparedHead:
    """The head as `kernels.aligned_topk` takes it: of an "int16" embedder in integers, too, else for XLA."""
    implementation = "cpu_ffi" if dtype == "int16" else "xla"
    return kernels.prepare_head(head.weight, bias=head.bias, implementation=implementation)


def _packed(linear: models.Map) -> kernels.Packed:
    return kernels.Packed(*linear)


def _join(join: models.Join | None) -> kernels.Join | None:
    if join is None:
        return None
    assert join.drop is models.Join._field_defaults["drop"], "an embedder of integers is not trained"
    return kernels.Join(join.added, *(join.norm or ()))


def _linears(
    x: jax.Array, maps: Sequence[models.Map], *, activation: str | None = None, join: models.Join | None = None
) -> tuple[jax.Array, ...]:
    return kernels.packed_linears(
        x, [_packed(each) for each in maps], activation=_ACTIVATIONS[activation], join=_join(join)
    )


def _feed_forward(
    x: jax.Array,
    up: models.Map,
    down: models.Map,
    *,
    gate: models.Map | None,
    activation: str | None,
    join: models.Join | None,
) -> jax.Array:
    return kernels.packed_feed_forward(
        x,
        _packed(up),
        _packed(down),
        gate=None if gate is None else _packed(gate),
        activation=_ACTIVATIONS[activation],
        join=_join(join),
    )


def _attend(
    queries: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    sight: models.Sight,
    *,
    bias: jax.Array | None,
    scale: float,
    softcap: float | None,
    dtype: jnp.dtype,
) -> jax.Array:
    del dtype  # of the packed weights
    if sight.segments is None or bias is not None or softcap is not None:
        return models.xla_attend(
            queries, keys, values, sight, bias=bias, scale=scale, softcap=softcap, dtype=jnp.dtype(jnp.float32)
        )
    return kernels.packed_attention(
        queries, keys, values, sight.segments, behind=sight.behind, ahead=sight.ahead, scale=scale
    )


_PACKED = models.Ops(linears=_linears, attend=_attend, feed_forward=_feed_forward, pack=kernels.pack_rows)
