"""Noise for training; nothing that embeds uses it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

# What is done to each sub-layer's output and to the embeddings.
Drop = Callable[[jax.Array], jax.Array]


def keep(x: jax.Array) -> jax.Array:
    """Drops nothing."""
    return x


class Dropout:
    """Zeroes a share of the numbers and scales up the rest, each call in other places.

    Args:
      rate: share that is zeroed, in [0, 1).
      key: of jax.random; the same key and the same calls make the same noise.
    """

    def __init__(self, rate: float, key: jax.Array):
        if not 0 <= rate < 1:
            raise ValueError(f"a dropout rate of {rate} would leave nothing or more than everything; it is in [0, 1).")
        self._rate, self._key, self._calls = rate, key, 0

    def __call__(self, x: jax.Array) -> jax.Array:
        """The noisy array, of the same shape."""
        self._calls += 1
        kept = jax.random.bernoulli(jax.random.fold_in(self._key, self._calls), 1 - self._rate, x.shape)
        return jnp.where(kept, x / (1 - self._rate), 0.0)
