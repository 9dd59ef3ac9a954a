"""Implementation "screened": a bfloat16 matmul finds the candidates, float32 decides, a certificate proves it.

The tokens whose upper bound (`screening.py`) reaches a threshold are scored in float32; the threshold is such that at
least K' do. If the k-th best of these scores reaches it, too, no other token can be among the top k: the row is
certified. The rest is redone.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from keytokens.kernels.head import PreparedHead
from keytokens.kernels.logits import add_terms, raw_logits
from keytokens.kernels.redo import Attempt, redo_uncertified
from keytokens.kernels.result import Options, TopK
from keytokens.kernels.rows import map_blocks
from keytokens.kernels.screening import token_columns, upper_bounds
from keytokens.kernels.selection import exact_topk, one_stage
from keytokens.kernels.threshold import capacity_for, from_keys, reaching

# Numbers whose products fall below the smallest normal float32 may be flushed to zero, in the bound and in the logit.
UNDERFLOW = 2.0**-110
# Rows whose candidates are gathered at once: two cores then share the copying, and few enough stay in the cache.
GATHERED_ROWS = 2


def num_candidates(k: int, hidden_size: int) -> int:
    """K', for how many tokens the bounds' threshold is set.

    Bounds of a wide head are looser: they exceed logits by a multiple of |h| |e|, and logits are that over sqrt(D) in
    size. Measured with Gaussian heads of 30,000 tokens, k = 100: on average 122 tokens have a bound above the k-th
    logit at D = 384, 140 at 1,024 and 226 at 4,096; with the spectrum of trained heads up to 7 % more.
    """
    return math.ceil(k * math.exp(0.013 * math.sqrt(hidden_size))) + 16


def screened_topk(hidden: jax.Array, head: PreparedHead, coefficient: jax.Array | None, options: Options) -> TopK:
    """The k largest logits of every text; arguments as in `aligned_topk`.

    Raises:
      ValueError: a logsumexp is asked for, which needs every logit in float32.
    """
    if options.with_logsumexp:
        raise ValueError(
            "with_logsumexp=True needs every logit in float32, which implementation='screened' exists to avoid: "
            "use implementation='xla' or None."
        )
    weight, terms = head.weight, head.terms
    columns = token_columns(weight, terms) if head.columns is None else head.columns
    vocabulary, hidden_size = weight.shape
    wanted = num_candidates(options.k, hidden_size)
    capacity = capacity_for(wanted)

    def score_all(block: tuple[jax.Array, jax.Array | None]) -> Attempt:
        rows, row_coefficient = block
        values, indices = exact_topk(raw_logits(rows, weight, terms, row_coefficient), options.k)
        return Attempt(values, indices, ~jnp.isnan(values).any(axis=1))

    def screen(block: tuple[jax.Array, jax.Array | None]) -> Attempt:
        rows, row_coefficient = block
        bounds = upper_bounds(rows, columns, terms.direction, row_coefficient)
        found = reaching(bounds, wanted, capacity)
        tokens = jnp.minimum(found.tokens, vocabulary - 1)
        logits = add_terms(_products(rows, weight, tokens), terms, row_coefficient, tokens)
        values, places = one_stage(jnp.where(found.tokens < vocabulary, logits, -jnp.inf), options.k)
        indices = jnp.take_along_axis(tokens, places, axis=1)
        # False where the threshold or a value is a NaN. A logit that is a NaN has a bound that is one, or infinite.
        certified = from_keys(found.threshold) + UNDERFLOW < values.min(axis=1)
        certified &= (found.num_tokens <= capacity) & ~jnp.isnan(values).any(axis=1)
        return Attempt(values, indices, certified)

    attempt = map_blocks(score_all if 2 * capacity > vocabulary else screen, (hidden, coefficient))
    return redo_uncertified(attempt, hidden, head, coefficient, options)


def _products(rows: jax.Array, head: jax.Array, tokens: jax.Array) -> jax.Array:
    """Float32 [R, C]: each row of `rows` [R, D] times its own C rows of the head; R must be a multiple of two.

    A pair of rows after the other, which keeps the gathered rows in the cache: on CPU three to six times as fast as one
    einsum over all of them, and bound by the reading of R C D numbers.
    """

    def of_rows(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        rows, ids = pair
        # The barrier keeps the copying apart from the product: fused, both run on one core and twice as long.
        gathered = lax.optimization_barrier(head.at[ids].get(mode="promise_in_bounds"))
        return lax.dot_general(
            gathered.astype(jnp.float32),
            rows.astype(jnp.float32),
            (((2,), (1,)), ((0,), (0,))),
            precision=lax.Precision.HIGHEST,
        )

    in_pairs = jax.tree.map(lambda array: array.reshape(-1, GATHERED_ROWS, array.shape[1]), (rows, tokens))
    return lax.map(of_rows, in_pairs).reshape(tokens.shape)
