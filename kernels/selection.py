"""Exact top-k of rows of logits that are already there, in fewer comparisons than one `lax.top_k`.

Letters: R rows, V vocabulary size, k kept tokens, G tokens to a group.

Two stages: the maxima of groups of G neighbours, the k best groups, then the k best of their k G tokens. Exact, ties
included: order the groups by (maximum descending, lower group first). A token outside the first k groups is beaten by
one token in each of them, because groups are contiguous and so a lower group's tokens have the lower ids.
"""

import jax
import jax.numpy as jnp
from jax import lax

from keytokens.kernels.logits import tidy

GROUP_SIZE = 32
# Two stages pay from this V / k upwards. CPU time of two over one, measured on 128 rows: V / k = 50: 1.2, 119: 0.95,
# 196: 0.8, 305: 0.65, 502: 0.5, 1519: 0.25, 5025: 0.2. Accelerators sort all V numbers for k > 16, with twice the
# logits as scratch, where two stages sort V / G + k G of them: less than half already at this ratio.
TWO_STAGE_TOKENS_PER_K = 120


def exact_topk(logits: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """Values float32 [R, k] and ids int32 [R, k], value descending, ties to the lower id; a NaN ranks first."""
    if logits.shape[1] >= TWO_STAGE_TOKENS_PER_K * k:
        return two_stages(logits, k)
    return one_stage(logits, k)


def one_stage(logits: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """`exact_topk` by one selection over all tokens."""
    return _top_k(tidy(logits), k)


def two_stages(logits: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """`exact_topk` by groups; V must be at least k * GROUP_SIZE."""
    num_rows, vocabulary = logits.shape
    num_groups = vocabulary // GROUP_SIZE
    assert num_groups >= k
    grouped = num_groups * GROUP_SIZE
    # The last V mod G tokens always stay candidates: padding all logits to whole groups would double the cost.
    groups = logits[:, :grouped].reshape(num_rows, num_groups, GROUP_SIZE)
    _, best = _top_k(_group_maxima(groups), k)
    best = jnp.sort(best, axis=1)
    members = jnp.take_along_axis(groups, best[:, :, None], axis=1, mode="promise_in_bounds")
    candidates = jnp.concatenate([members.reshape(num_rows, -1), logits[:, grouped:]], axis=1)
    values, places = _top_k(tidy(candidates), k)
    group = jnp.take_along_axis(best, jnp.minimum(places // GROUP_SIZE, k - 1), axis=1, mode="promise_in_bounds")
    in_group = group * GROUP_SIZE + places % GROUP_SIZE
    in_tail = places - k * GROUP_SIZE + grouped
    return values, jnp.where(places < k * GROUP_SIZE, in_group, in_tail)


def _group_maxima(groups: jax.Array) -> jax.Array:
    """Float32 [R, n] from groups [R, n, G]; NaN where one is in the group.

    Taken over integers that are ordered as the numbers are. XLA's float maximum on CPU may lose a NaN
    (xla_cpu_enable_fast_min_max) and is not vectorised here: measured 2.3 times slower.
    """
    bits = lax.bitcast_convert_type(groups, jnp.int32)
    keys = jnp.where(jnp.isnan(groups), jnp.int32(2**31 - 1), _flip_negative(bits))
    return tidy(lax.bitcast_convert_type(_flip_negative(jnp.max(keys, axis=-1)), jnp.float32))


def _flip_negative(bits: jax.Array) -> jax.Array:
    """Float32 bits as integers of the same order, and back."""
    return bits ^ ((bits >> 31) & jnp.int32(2**31 - 1))


def _top_k(numbers: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """`lax.top_k`, of whose result nobody may take a slice, such as values[:, 0]: callers reduce over it instead.

    XLA lowers it to a sort and k-slices, which it then recognises and replaces by a selection. A further slice is
    merged into those and hides the pattern: the sort stays, measured 20 times slower. An optimization_barrier would
    keep it whole, too, but makes XLA abort where the program is partitioned over devices (jaxlib 0.10.2,
    TopkDecomposer).
    """
    values, indices = lax.top_k(numbers, k)
    return values, indices
