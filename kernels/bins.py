"""The TPU kernel: head, terms and logsumexp in one pass over the vocabulary, keeping the best t logits of every bin.

Letters: B texts, D hidden size, V vocabulary size, L bins, t levels, bm rows and bn tokens of a tile.

Token i belongs to bin i mod L, so the neighbours in a vocabulary, whose logits are alike, fall into different bins.
While a tile's logits are in registers each is compared with its bin's t levels, and what is pushed out of the last
level is forgotten: it is no larger than that level. If the k-th best of all kept values is above the largest last
level, nothing forgotten can be among the top k (`certify`).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from keytokens.kernels.logits import CONTRACT_LAST_AXES, Terms
from keytokens.kernels.result import Options, scale_and_cap

LANES = 128
BLOCK_ROWS = 256
HEAD_TILE_BYTES = 8 * 2**20
# Of the 128 MiB of a v5e or v6e core. At bm = 256, L = 2048, t = 8: the kept values and ids, 2 * 16 MiB, twice for the
# pipeline; the head's tile, at most 16 MiB for D = 4096 in float32, twice. The default of 16 MiB does not fit.
VMEM_LIMIT_BYTES = 110 * 2**20


class Bins(NamedTuple):
    """How many bins, and how many of the best logits of each are kept."""

    num_bins: int
    levels: int


class Kept(NamedTuple):
    """What the pass over the vocabulary leaves.

    Attributes:
      values: float32 [t, B, L], the best logits of every bin; -inf where a bin had fewer.
      tokens: int32 [t, B, L], their ids; -1 where there are none.
      logsumexp: float32 [B, 1]; -inf where it was not asked for.
    """

    values: jax.Array
    tokens: jax.Array
    logsumexp: jax.Array


def bins_for(k: int) -> Bins:
    """Enough bins that a row with its k best tokens anywhere fails its certificate less than once in 250.

    By the union bound over bins, P(some bin holds more than t of k) <= L C(k, t + 1) / L^(t + 1): 2e-6 at k=10, 3e-3 at
    100, 5e-4 at 256, 1e-4 at 1000.

    Raises:
      ValueError: k is above 1000, where the kept values no longer fit the vector memory.
    """
    for largest, bins in ((16, Bins(512, 4)), (128, Bins(1024, 4)), (256, Bins(2048, 5)), (1000, Bins(2048, 8))):
        if k <= largest:
            return bins
    raise ValueError(f"k={k}, but implementation 'pallas_tpu' keeps at most 1000 tokens: use implementation='xla'.")


def keep_best(
    hidden: jax.Array,
    weight: jax.Array,
    terms: Terms,
    coefficient: jax.Array | None,
    bins: Bins,
    options: Options,
    *,
    block_rows: int = BLOCK_ROWS,
    interpret: bool = False,
) -> Kept:
    """The best `bins.levels` logits of every bin, for hidden [B, D] and weight [V, D], B a multiple of `block_rows`."""
    num_rows, dim = hidden.shape
    vocabulary = weight.shape[0]
    num_bins, levels = bins
    slices = max(1, min(4, HEAD_TILE_BYTES // (num_bins * dim * weight.dtype.itemsize)))
    tile = num_bins * slices
    num_tiles = pl.cdiv(vocabulary, tile)
    columns, token_terms = _stack_terms(terms, vocabulary)
    if coefficient is None:
        coefficient = jnp.zeros(num_rows, jnp.float32)
    kernel = functools.partial(
        _kernel, columns=columns, tile=tile, vocabulary=vocabulary, num_tiles=num_tiles, options=options
    )
    levels_spec = pl.BlockSpec((levels, block_rows, num_bins), lambda i, j: (0, i, 0))
    row_spec = pl.BlockSpec((block_rows, 1), lambda i, j: (i, 0))
    return Kept(
        *pl.pallas_call(
            kernel,
            grid=(num_rows // block_rows, num_tiles),
            in_specs=[
                pl.BlockSpec((block_rows, dim), lambda i, j: (i, 0)),
                pl.BlockSpec((tile, dim), lambda i, j: (j, 0)),
                pl.BlockSpec((token_terms.shape[0], tile), lambda i, j: (0, j)),
                row_spec,
            ],
            out_specs=[levels_spec, levels_spec, row_spec],
            out_shape=[
                jax.ShapeDtypeStruct((levels, num_rows, num_bins), jnp.float32),
                jax.ShapeDtypeStruct((levels, num_rows, num_bins), jnp.int32),
                jax.ShapeDtypeStruct((num_rows, 1), jnp.float32),
            ],
            scratch_shapes=[pltpu.VMEM((block_rows, 1), jnp.float32), pltpu.VMEM((block_rows, 1), jnp.float32)],
            compiler_params=pltpu.CompilerParams(
                dimension_semantics=("parallel", "arbitrary"), vmem_limit_bytes=VMEM_LIMIT_BYTES
            ),
            interpret=interpret,
        )(hidden, weight, token_terms, coefficient.astype(jnp.float32)[:, None])
    )


def certify(kept: Kept, k: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Values [B, k] and ids [B, k] of the best kept, in the promised order, and bool [B]: whether they are proven.

    An infinite first value is not proven: the kernel writes a NaN as one.
    """
    levels, num_rows, num_bins = kept.values.shape
    forgotten = kept.values[-1].max(axis=-1)
    values, tokens = (jnp.moveaxis(array, 0, 1).reshape(num_rows, levels * num_bins) for array in kept[:2])
    negated, tokens = lax.sort((-values, tokens), dimension=1, num_keys=2)
    values, tokens = -negated[:, :k], tokens[:, :k]
    return values, tokens, (forgotten < values[:, -1]) & (values[:, 0] < jnp.inf)


def _stack_terms(terms: Terms, vocabulary: int) -> tuple[tuple[str, ...], jax.Array]:
    """The names of the terms there are, and float32 [their number, V]; the mask as ones and zeros."""
    arrays = {name: array for name, array in terms._asdict().items() if array is not None}
    if not arrays:
        return (), jnp.zeros((1, vocabulary), jnp.float32)
    return tuple(arrays), jnp.stack([array.astype(jnp.float32) for array in arrays.values()])


def _kernel(
    hidden_ref: jax.Array,
    weight_ref: jax.Array,
    terms_ref: jax.Array,
    coefficient_ref: jax.Array,
    values_ref: jax.Array,
    tokens_ref: jax.Array,
    logsumexp_ref: jax.Array,
    largest_ref: jax.Array,
    sum_ref: jax.Array,
    *,
    columns: tuple[str, ...],
    tile: int,
    vocabulary: int,
    num_tiles: int,
    options: Options,
) -> None:
    """One tile [bm, bn] of logits; the outputs stay in vector memory over all tiles of a row block."""
    step = pl.program_id(1)

    @pl.when(step == 0)
    def _start() -> None:
        values_ref[...] = jnp.full(values_ref.shape, -jnp.inf, jnp.float32)
        tokens_ref[...] = jnp.full(tokens_ref.shape, -1, jnp.int32)
        largest_ref[...] = jnp.full(largest_ref.shape, -jnp.inf, jnp.float32)
        sum_ref[...] = jnp.zeros(sum_ref.shape, jnp.float32)

    hidden, weight = hidden_ref[...], weight_ref[...]
    precision = lax.Precision.HIGHEST if hidden.dtype == jnp.float32 else None
    logits = lax.dot_general(
        hidden, weight, CONTRACT_LAST_AXES, precision=precision, preferred_element_type=jnp.float32
    )
    token_terms = {name: terms_ref[row : row + 1, :] for row, name in enumerate(columns)}
    if "bias" in token_terms:
        logits = logits + token_terms["bias"]
    if "direction" in token_terms:
        logits = logits - coefficient_ref[...] * token_terms["direction"]
    # A NaN compares false and would vanish; as an infinity it makes the row fail its certificate.
    logits = jnp.where(jnp.isnan(logits), jnp.inf, logits)
    if "mask" in token_terms:
        logits = jnp.where(token_terms["mask"] > 0.0, logits, -jnp.inf)
    tokens = step * tile + lax.broadcasted_iota(jnp.int32, logits.shape, 1)
    if num_tiles * tile != vocabulary:
        logits = jnp.where(tokens < vocabulary, logits, -jnp.inf)

    if options.with_logsumexp:
        _add_to_sum(scale_and_cap(logits, options), largest_ref, sum_ref)
    _insert(logits, tokens, values_ref, tokens_ref)

    @pl.when(step == num_tiles - 1)
    def _end() -> None:
        largest = largest_ref[...]
        logsumexp_ref[...] = jnp.where(jnp.isinf(largest), largest, largest + jnp.log(sum_ref[...]))


def _add_to_sum(logits: jax.Array, largest_ref: jax.Array, sum_ref: jax.Array) -> None:
    """One step of the online logsumexp (Milakov and Gimelshein 2018): a running maximum and the sum relative to it."""
    before = largest_ref[...]
    largest = jnp.maximum(before, jnp.max(logits, axis=1, keepdims=True))
    base = jnp.where(jnp.isneginf(largest), 0.0, largest)
    sum_ref[...] = sum_ref[...] * jnp.exp(before - base) + jnp.sum(jnp.exp(logits - base), axis=1, keepdims=True)
    largest_ref[...] = largest


def _insert(logits: jax.Array, tokens: jax.Array, values_ref: jax.Array, tokens_ref: jax.Array) -> None:
    """Each logit into its bin's levels, 128 bins at a time so that their levels stay in registers."""
    levels, _, num_bins = values_ref.shape
    for first in range(0, num_bins, LANES):
        lanes = slice(first, first + LANES)
        values = [values_ref[level, :, lanes] for level in range(levels)]
        ids = [tokens_ref[level, :, lanes] for level in range(levels)]
        for start in range(first, logits.shape[1], num_bins):  # ascending ids
            value, token = logits[:, start : start + LANES], tokens[:, start : start + LANES]
            for level in range(levels):
                better = value > values[level]  # strictly: of equal values the lower id stays in front
                values[level], value = jnp.where(better, value, values[level]), jnp.where(better, values[level], value)
                ids[level], token = jnp.where(better, token, ids[level]), jnp.where(better, ids[level], token)
        for level in range(levels):
            values_ref[level, :, lanes] = values[level]
            tokens_ref[level, :, lanes] = ids[level]
