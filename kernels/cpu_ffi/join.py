"""What follows a sub-layer of a transformer, row by row: its input is added, and the sum perhaps normed."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Join(NamedTuple):
    """What is done to each result y [..., O].

    Attributes:
      added: float32 [..., O]; y becomes added + y. None: y alone.
      weight: float32 [O] of the norm; None: no norm.
      bias: float32 [O] of a layer norm; None: an RMS norm.
      eps: added to the variance, or the mean square.
    """

    added: jax.Array | None = None
    weight: jax.Array | None = None
    bias: jax.Array | None = None
    eps: float = 0.0

    def arguments(self, shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Of the handler, which trusts their shapes; what is not there has no element.

        Args:
          shape: of y.

        Raises:
          ValueError: an array does not fit it.
        """
        for name, array, expected in zip(self._fields, self[:3], (shape, shape[-1:], shape[-1:]), strict=False):
            if array is not None and array.shape != expected:
                raise ValueError(f"Join's {name} is {list(array.shape)}, but must be {list(expected)}.")
        if self.bias is not None and self.weight is None:
            raise ValueError("Join has the bias of a norm, but not its weight: give both, or neither for no norm.")
        added, weight, bias = (jnp.zeros(0) if array is None else array.astype(jnp.float32) for array in self[:3])
        return added, weight, bias

    def attributes(self) -> dict[str, np.float32]:
        """Of the handler."""
        return {"eps": np.float32(self.eps)}
