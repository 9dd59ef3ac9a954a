"""A LM head split over devices by tokens: top-k on every device, then an exact merge under the tie rule.

Letters: B texts, D hidden size, V vocabulary size, S shards, k kept tokens.

A token among the k best of all is among the k best of its own shard, so S lists of k are enough. Shards hold
consecutive ids: in the lists laid end to end equal values stand in the order of their ids, and the merge keeps it.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from keytokens.kernels.api import run_implementation
from keytokens.kernels.arguments import check_head, check_hidden, check_options, check_vector
from keytokens.kernels.choice import fastest_preparation
from keytokens.kernels.cpu_ffi.packing import PANEL
from keytokens.kernels.head import PreparedHead, prepare_head
from keytokens.kernels.result import Options, TopK, finish
from keytokens.kernels.selection import one_stage


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["prepared"], meta_fields=["num_tokens", "mesh", "axis"]
)
@dataclasses.dataclass(frozen=True)
class ShardedHead:
    """What `shard_head` returns and `sharded_topk` takes; a pytree.

    Attributes:
      prepared: the head, V padded so that every device has whole panels, every array split by tokens over `axis`.
      num_tokens: V, without the padding.
      mesh: the devices.
      axis: the name of the mesh axis over which the tokens are split.
    """

    prepared: PreparedHead
    num_tokens: int
    mesh: Mesh
    axis: str


def shard_head(
    head: jax.Array,
    mesh: Mesh,
    axis: str,
    *,
    bias: jax.Array | None = None,
    mask: jax.Array | None = None,
    direction: jax.Array | None = None,
    implementation: str | None = None,
) -> ShardedHead:
    """The head split by tokens over one axis of a mesh; the other arguments as in `prepare_head`.

    Raises:
      ValueError: a wrong shape or dtype, the mesh has no such axis, or no implementation has this name.
    """
    if axis not in mesh.shape:
        raise ValueError(f"axis={axis!r} is not an axis of the mesh, which has {', '.join(map(repr, mesh.shape))}.")
    check_head(head, bias, mask)
    num_tokens = head.shape[0]
    implementation = implementation or fastest_preparation()
    # A panel of packed tokens must not be split.
    padding = -num_tokens % (mesh.shape[axis] * (PANEL if implementation == "cpu_ffi" else 1))
    if padding:
        # Padded rows are masked: they rank last, after every masked token, because their ids are the highest.
        mask = jnp.pad(jnp.ones(num_tokens, bool) if mask is None else mask, (0, padding))
        bias = None if bias is None else jnp.pad(bias, (0, padding))
        head = jnp.pad(head, ((0, padding), (0, 0)))
    prepared = prepare_head(head, bias=bias, mask=mask, direction=direction, implementation=implementation)
    # jax.make_mesh makes axes of which every function must say how it splits; what is inside ours is ours to say.
    mesh = Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))
    by_token = NamedSharding(mesh, PartitionSpec(axis))
    return ShardedHead(jax.device_put(prepared, by_token), num_tokens, mesh, axis)


def sharded_topk(
    hidden: jax.Array,
    head: ShardedHead,
    k: int,
    *,
    shift: jax.Array | None = None,
    scale: float = 1.0,
    softcap: float | None = None,
    log1p: bool = False,
    with_logsumexp: bool = False,
    implementation: str | None = None,
) -> TopK:
    """`aligned_topk` of the whole head: hidden [B, D] and shift [B] are the same on every device, as is the result.

    Raises:
      ValueError: as `aligned_topk`.
    """
    check_hidden(hidden, head.prepared.shape)
    check_vector("shift", shift, hidden.shape[0])
    if shift is not None and head.prepared.terms.direction is None:
        raise ValueError("shift is given, but this head was sharded for no direction: give shard_head its direction.")
    check_options(k, head.num_tokens, scale, softcap)
    cap = None if softcap is None else float(softcap)
    options = Options(k, float(scale), cap, with_logsumexp, log1p=log1p)
    return _select_and_merge(implementation, options, hidden, head, shift)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _select_and_merge(
    implementation: str | None, options: Options, hidden: jax.Array, head: ShardedHead, coefficient: jax.Array | None
) -> TopK:
    mesh, axis = head.mesh, head.axis
    tokens_per_shard = head.prepared.shape[0] // mesh.shape[axis]
    local_options = options._replace(k=min(options.k, tokens_per_shard), raw_values=True)
    prepared = head.prepared
    if coefficient is None:
        prepared = dataclasses.replace(prepared, terms=prepared.terms._replace(direction=None))

    def select(hidden: jax.Array, shard: PreparedHead, coefficient: jax.Array | None) -> TopK:
        result = run_implementation(implementation, local_options, hidden, shard, coefficient)
        first = jax.lax.axis_index(axis) * tokens_per_shard
        return jax.tree.map(lambda array: array[None], result._replace(indices=result.indices + first))

    everywhere, by_token = PartitionSpec(), PartitionSpec(axis)
    of_shards: TopK = jax.shard_map(
        select, mesh=mesh, in_specs=(everywhere, by_token, everywhere), out_specs=by_token, check_vma=False
    )(hidden, prepared, coefficient)
    return merge(of_shards, options)


def merge(of_shards: TopK, options: Options) -> TopK:
    """The k best of the selections [S, B, local k] of raw logits by shards of consecutive, ascending ids."""

    def end_to_end(array: jax.Array) -> jax.Array:
        return jnp.moveaxis(array, 0, 1).reshape(array.shape[1], -1)

    # A shard that met a NaN sends only NaN, which rank first.
    values, places = one_stage(end_to_end(of_shards.values), options.k)
    indices = jnp.take_along_axis(end_to_end(of_shards.indices), places, axis=1)
    logsumexp, redone = of_shards.logsumexp, of_shards.redone
    return finish(
        values,
        indices,
        options,
        broken=jnp.isnan(values).any(axis=1),
        logsumexp=None if logsumexp is None else jax.nn.logsumexp(logsumexp, axis=0),
        redone=None if redone is None else redone.any(axis=0),
    )
