"""Exact top-k of rows of logits that are already there, in fewer comparisons than one `lax.top_k`.

Letters: R rows, V vocabulary size, k kept tokens, G tokens to a group.

On a CPU: what reaches a threshold (`threshold.py`), then `lax.top_k` of that. A `lax.top_k` of all logits runs on one
core, and most of its time goes to the k ln(V / k) tokens that enter its heap: two stages would not save those.

On accelerators two stages: the maxima of groups of G neighbours, the k best groups, then the k best of their k G
tokens. Exact, ties included: order the groups by (maximum descending, lower group first). A token outside the first k
groups is beaten by one token in each of them, because groups are contiguous and so a lower group's tokens have the
lower ids.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from keytokens.kernels.logits import tidy
from keytokens.kernels.threshold import capacity_for, from_keys, reaching, to_keys

GROUP_SIZE = 32
# Accelerators sort all V numbers for k > 16, with twice the logits as scratch, where two stages sort V / G + k G of
# them: less than half from this V / k upwards.
TWO_STAGE_TOKENS_PER_K = 120
THRESHOLD_TOKENS_PER_K = 8


def exact_topk(logits: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """Values float32 [R, k] and ids int32 [R, k], value descending, ties to the lower id; a NaN ranks first."""
    tokens_per_k = logits.shape[1] / k
    on_cpu = by_threshold if tokens_per_k >= THRESHOLD_TOKENS_PER_K else one_stage
    elsewhere = two_stages if tokens_per_k >= TWO_STAGE_TOKENS_PER_K else one_stage
    forms = (functools.partial(form, k=k) for form in (on_cpu, elsewhere))
    return lax.platform_dependent(logits, cpu=next(forms), default=next(forms))


def by_threshold(logits: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """`exact_topk` of what reaches a threshold, or of all where thousands of equal tokens do."""
    vocabulary, capacity = logits.shape[1], capacity_for(k)
    found = reaching(logits, k, capacity)

    def of_found() -> tuple[jax.Array, jax.Array]:
        members = jnp.minimum(found.tokens, vocabulary - 1)
        values = jnp.take_along_axis(logits, members, axis=1, mode="promise_in_bounds")
        values, places = _top_k(jnp.where(found.tokens < vocabulary, tidy(values), -jnp.inf), k)
        return values, jnp.take_along_axis(members, places, axis=1, mode="promise_in_bounds")

    return lax.cond(jnp.all(found.num_tokens <= capacity), of_found, functools.partial(one_stage, logits, k))


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

    Taken over integers that are ordered as the numbers are: XLA's float maximum on CPU may lose a NaN
    (xla_cpu_enable_fast_min_max) and is not vectorised here, measured 2.3 times slower.
    """
    return from_keys(jnp.max(to_keys(groups), axis=-1))


def _top_k(numbers: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """`lax.top_k`, of whose result nobody may take a slice, such as values[:, 0]: callers reduce over it instead.

    XLA lowers it to a sort and k-slices, which it then recognises and replaces by a selection. A further slice is
    merged into those and hides the pattern: the sort stays, measured 20 times slower. An optimization_barrier would
    keep it whole, too, but makes XLA abort where the program is partitioned over devices (jaxlib 0.10.2,
    TopkDecomposer).
    """
    values, indices = lax.top_k(numbers, k)
    return values, indices
