"""Exact top-k of rows of logits that are already there, in fewer comparisons than one `lax.top_k`.

Letters: R rows, V vocabulary size, k kept tokens, G tokens to a group.

Two stages: the maxima of groups of G neighbours, the k best groups, then the k best of their k G tokens. Exact, ties
included: order the groups by (maximum descending, lower group first). A token outside the first k groups is beaten by
one token in each of them, because groups are contiguous and so a lower group's tokens have the lower ids.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from keytokens.kernels.logits import tidy

GROUP_SIZE = 32
# Two stages pay from this V / k upwards. CPU, measured, 128 rows, k=100, two stages over one: V=30,522 0.9, 50,257 0.7,
# 151,936 0.5; k=256: 1.6, 1.1, 0.5. Elsewhere lax.top_k of k > 16 compiles to a sort of all V with twice the logits as
# scratch, and sorting V / G + k G numbers instead pays as soon as that is half of V.
CPU_TOKENS_PER_K = 350
ACCELERATOR_TOKENS_PER_K = 2 * GROUP_SIZE + 4


def exact_topk(logits: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """Values float32 [R, k] and ids int32 [R, k], value descending, ties to the lower id; a NaN ranks first."""
    if logits.shape[1] < ACCELERATOR_TOKENS_PER_K * k:
        return one_stage(logits, k)
    if logits.shape[1] >= CPU_TOKENS_PER_K * k:
        return two_stages(logits, k)
    cpu, accelerator = (functools.partial(stages, k=k) for stages in (one_stage, two_stages))
    return lax.platform_dependent(logits, cpu=cpu, default=accelerator)


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
    _, best = _top_k(tidy(jnp.max(groups, axis=-1)), k)
    best = ascending(best)
    members = jnp.take_along_axis(groups, best[:, :, None], axis=1, mode="promise_in_bounds")
    candidates = jnp.concatenate([members.reshape(num_rows, -1), logits[:, grouped:]], axis=1)
    values, places = _top_k(tidy(candidates), k)
    group = jnp.take_along_axis(best, jnp.minimum(places // GROUP_SIZE, k - 1), axis=1, mode="promise_in_bounds")
    in_group = group * GROUP_SIZE + places % GROUP_SIZE
    in_tail = places - k * GROUP_SIZE + grouped
    return values, jnp.where(places < k * GROUP_SIZE, in_group, in_tail)


def ascending(ids: jax.Array) -> jax.Array:
    """Each row of ids int32 [R, n] < 2^24 sorted: by float32 top_k, on CPU many times faster than an integer sort."""
    return -_top_k(-ids.astype(jnp.float32), ids.shape[1])[0].astype(jnp.int32)


def _top_k(numbers: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """`lax.top_k`, kept whole.

    XLA lowers it to a sort and k-slices, which it then recognises and replaces by a selection. A further slice by the
    caller, such as values[:, 0], is merged into those and hides the pattern: the sort stays, measured 20 times slower.
    """
    values, indices = lax.optimization_barrier(tuple(lax.top_k(numbers, k)))
    return values, indices
