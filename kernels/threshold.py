"""Which tokens reach a threshold that at least k of them reach: the selection without the sorting.

Letters: R rows, V vocabulary size, n groups, C places for tokens, k tokens that must be among them.

The threshold is about the k-th largest of the maxima of n groups. One token of each of k groups reaches it, so the k
best tokens do, and of n = 3 k groups of equally likely tokens only 1.2 k do on average, which is all that remains to be
ordered. Every step is a comparison, a sum or a short scatter, which XLA runs in a CPU's wide registers; its `lax.top_k`
is a heap.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

WORD_BITS = 32
HIGHEST_KEY = 2**31 - 1
LOWEST_KEY = -(2**31) + 0x7FFFFF  # of -inf


class Reaching(NamedTuple):
    """The tokens of every row that reach its threshold.

    Attributes:
      tokens: int32 [R, C], ascending, V in the places that are left over. Incomplete where num_tokens > C.
      num_tokens: int32 [R], how many there are: at least k.
      threshold: int32 [R], a key.
    """

    tokens: jax.Array
    num_tokens: jax.Array
    threshold: jax.Array


def capacity_for(k: int) -> int:
    """Places for what reaches a threshold for k tokens: 1.3 k are expected, more where few groups hold the winners."""
    return 3 * k // 2 + 64


def to_keys(numbers: jax.Array) -> jax.Array:
    """Float32 as int32 of the same order: 0.0 and -0.0 are equal, and every NaN is HIGHEST_KEY."""
    keys = _flip_negative(lax.bitcast_convert_type(numbers, jnp.int32))
    keys = jnp.where(numbers == 0.0, 0, keys)
    return jnp.where(jnp.isnan(numbers), HIGHEST_KEY, keys)


def from_keys(keys: jax.Array) -> jax.Array:
    """The numbers of `to_keys`."""
    return lax.bitcast_convert_type(_flip_negative(keys), jnp.float32)


def reaching(numbers: jax.Array, k: int, capacity: int) -> Reaching:
    """What reaches the threshold for k tokens among `numbers` float32 [R, V]; V must be at least k."""
    vocabulary = numbers.shape[1]
    maxima = lax.optimization_barrier(_maxima(to_keys(numbers), k))
    # Read again, rather than the keys kept: XLA would write them out, or compute the maxima a second time.
    numbers, threshold = lax.optimization_barrier((numbers, _reached_by(maxima, k)))
    words = lax.optimization_barrier(_pack(to_keys(numbers) >= threshold[:, None]))
    tokens, num_tokens = _places_of_bits(words, capacity)
    unused = jnp.arange(capacity)[None, :] >= num_tokens[:, None]
    return Reaching(jnp.where(unused, vocabulary, tokens), num_tokens, threshold)


def _reached_by(keys: jax.Array, k: int) -> jax.Array:
    """A key for each row of `keys` [R, n] that at least k of them reach, and hardly more: int32 [R].

    The k-th largest, bit by bit from the highest, stopped when at most a sixteenth of k more do: on average halfway.
    """

    def unfinished(state: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        bit, _, reach = state
        return (bit >= 0) & jnp.any(reach > k + k // 16)

    def set_bit(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        bit, key, reach = state
        higher = key + lax.shift_left(jnp.int32(1), bit)
        fewer = jnp.sum((keys >= higher[:, None]).astype(jnp.int32), axis=1)
        enough = fewer >= k
        return bit - 1, jnp.where(enough, higher, key), jnp.where(enough, fewer, reach)

    rows = keys.shape[0]
    all_reach = jnp.full(rows, -(2**31), jnp.int32), jnp.full(rows, keys.shape[1], jnp.int32)
    _, key, _ = lax.while_loop(unfinished, set_bit, (jnp.int32(31), *all_reach))
    return jnp.maximum(key, LOWEST_KEY)


def _maxima(keys: jax.Array, k: int) -> jax.Array:
    """The maxima [R, n] of n >= k groups that hold all tokens, n about 3 k where V allows.

    Neighbours first, for which all tokens are read once, then some maxima that are far apart: what makes neighbours
    alike, such as ids in the order of frequency, is not to leave the groups uneven.
    """
    neighbours = 1
    while neighbours < WORD_BITS and keys.shape[1] >= 6 * k * neighbours:
        neighbours *= 2
    maxima = _fold(keys, neighbours, axis=2)
    return _fold(maxima, max(1, maxima.shape[1] // (3 * k)), axis=1)


def _fold(keys: jax.Array, size: int, *, axis: int) -> jax.Array:
    """Maxima of groups of so many: of neighbours (axis=2) or of every n-th (axis=1). The last few stay as they are."""
    if size == 1:
        return keys
    num_rows, length = keys.shape
    num_groups = length // size
    shape = (num_groups, size) if axis == 2 else (size, num_groups)
    folded = jnp.max(keys[:, : num_groups * size].reshape(num_rows, *shape), axis=axis)
    return jnp.concatenate([folded, keys[:, num_groups * size :]], axis=1)


def _pack(flags: jax.Array) -> jax.Array:
    """Flags [R, n] as bits of uint32 [R, n / 32], the lowest bit first."""
    num_rows, length = flags.shape
    whole = length // WORD_BITS * WORD_BITS
    bits = jnp.left_shift(jnp.uint32(1), jnp.arange(WORD_BITS, dtype=jnp.uint32))

    def words(flags: jax.Array, bits: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(flags, bits, jnp.uint32(0)), axis=-1, dtype=jnp.uint32)

    full = words(flags[:, :whole].reshape(num_rows, -1, WORD_BITS), bits)
    if whole == length:
        return full
    return jnp.concatenate([full, words(flags[:, whole:], bits[: length - whole])[:, None]], axis=1)


def _places_of_bits(words: jax.Array, capacity: int) -> tuple[jax.Array, jax.Array]:
    """Where the bits of `words` [R, n] are set, ascending, int32 [R, C], and how many are, [R].

    Few words have a bit at all. Those are found first, by the bits that say so: the scatter then is over n / 32 words
    and over C, and not over n.
    """
    slots = jnp.arange(capacity)[None, :]
    busy, num_busy = _find(_pack(words != 0), capacity)
    busy = jnp.where(slots < num_busy[:, None], busy, 0)
    listed = jnp.where(slots < num_busy[:, None], _take(words, busy), 0)
    places, _ = _find(listed, capacity)
    count = jnp.sum(lax.population_count(words).astype(jnp.int32), axis=1)
    return _take(busy, places // WORD_BITS) * WORD_BITS + places % WORD_BITS, count


def _find(words: jax.Array, capacity: int) -> tuple[jax.Array, jax.Array]:
    """`_places_of_bits` by one scatter over all words; garbage beyond the count, but within the words."""
    num_rows, num_words = words.shape
    counts = lax.population_count(words).astype(jnp.int32)
    ends = jnp.cumsum(counts, axis=1)
    starts = ends - counts
    # The first slot of every word that has one holds the word's number, and the slots after it take that over.
    first = jnp.where((counts > 0) & (starts < capacity), starts, capacity)
    numbers = jnp.broadcast_to(jnp.arange(num_words, dtype=jnp.int32), words.shape)
    of_slot = (
        jnp.zeros((num_rows, capacity), jnp.int32).at[jnp.arange(num_rows)[:, None], first].set(numbers, mode="drop")
    )
    of_slot = lax.cummax(of_slot, axis=1)
    rank = jnp.arange(capacity, dtype=jnp.int32)[None, :] - _take(starts, of_slot)
    return of_slot * WORD_BITS + _place_of_bit(_take(words, of_slot), rank), ends[:, -1]


def _place_of_bit(words: jax.Array, rank: jax.Array) -> jax.Array:
    """The place of the bit of each word before which so many others are set: the half it is in, the quarter, ..."""
    place = jnp.zeros_like(rank)
    for half in (16, 8, 4, 2, 1):
        lower = jnp.right_shift(words, place.astype(jnp.uint32)) & jnp.uint32(2**half - 1)
        in_lower = lax.population_count(lower).astype(jnp.int32)
        is_above = rank >= in_lower
        rank = jnp.where(is_above, rank - in_lower, rank)
        place = jnp.where(is_above, place + half, place)
    return place


def _take(array: jax.Array, indices: jax.Array) -> jax.Array:
    return jnp.take_along_axis(array, indices, axis=1, mode="promise_in_bounds")


def _flip_negative(bits: jax.Array) -> jax.Array:
    """Float32 bits as integers of the same order, and back."""
    return bits ^ ((bits >> 31) & jnp.int32(HIGHEST_KEY))
