"""Which tokens does an embedding select in an index: the map of embeddings before the LM head, and the selection.

n texts, D hidden size, V vocabulary, k tokens. A unit embedding u becomes x = W (u - c); the logit of token t is then
e_t x - m x, with e_t the head's rows: whitening, mean removal and removal of V_1 are all such maps, so the head and the
kernel that selects from it stay as they are, and the corpus is decoded with the same numbers as the query.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

import numpy as np

from keytokens import kernels
from keytokens.pipelines import encoder
from keytokens.pipelines.analysis import moments, spectrum, whitening
from keytokens.pipelines.retrieval import index_run
from keytokens.pipelines.retrieval.options import IndexOptions
from keytokens.pipelines.store import arrays
from keytokens.pipelines.store import files as store_files

if TYPE_CHECKING:
    import jax

_BLOCK_ROWS = 512


@dataclasses.dataclass(frozen=True)
class EmbeddingMap:
    """x = matrix (u - centre); logits are head @ x - mean_row x.

    Attributes:
      matrix: float32 [D, D].
      centre: float32 [D].
      mean_row: float32 [D], of the head, or zeros.
    """

    matrix: np.ndarray
    centre: np.ndarray
    mean_row: np.ndarray

    def apply(self, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x float32 [n, D] of embeddings [n, D] of any length, and what to subtract from each text's logits [n]."""
        norms = np.linalg.norm(hidden, axis=1, keepdims=True)
        unit = np.divide(hidden, norms, out=np.zeros_like(hidden), where=norms > 0) - self.centre * (norms > 0)
        if self.centre.any():
            norms = np.linalg.norm(unit, axis=1, keepdims=True)
            unit = np.divide(unit, norms, out=np.zeros_like(unit), where=norms > 0)
        x = (unit @ self.matrix.T).astype(np.float32)
        return x, x @ self.mean_row


def make_map(options: IndexOptions, head: np.ndarray, pair: moments.Moments) -> EmbeddingMap:
    """The map that `options` ask for.

    Args:
      options: of the index.
      head: [V, D].
      pair: moments of the corpus, for its mean and first component.
    """
    size = head.shape[1]
    if options.decoding == "whitened":
        matrix, mean_row = whitening.head_whitening(
            np.asarray(head[start : start + 8192], np.float32) for start in range(0, len(head), 8192)
        )
    else:
        # In units of the head's typical row, as the whitened logits are.
        typical = float(np.linalg.norm(np.asarray(head, np.float32), axis=1).mean())
        matrix, mean_row = np.eye(size, dtype=np.float32) / typical, np.zeros(size, np.float32)
    if options.without_first:
        first = spectrum.spectrum_of(pair).components[0].astype(np.float32)
        matrix = matrix @ (np.eye(size, dtype=np.float32) - np.outer(first, first))
    centre = np.zeros(size, np.float32)
    if options.centred:
        centre = (pair.unit_sum / max(1, pair.count)).astype(np.float32)
    return EmbeddingMap(matrix.astype(np.float32), centre, mean_row.astype(np.float32))


class Decoder:
    """A LM head behind an embedding map.

    Args:
      head: [V, D], the head's matrix.
      embedding_map: what is done to embeddings first.
      transform: what a masked language model's head does to embeddings before its matrix, or None.
    """

    def __init__(
        self,
        head: jax.Array,
        embedding_map: EmbeddingMap,
        transform: Callable[[np.ndarray], jax.Array] | None = None,
    ):
        self._head, self._map, self._transform = head, embedding_map, transform

    @classmethod
    def of(cls, loaded: encoder.Encoder, embedding_map: EmbeddingMap) -> Self:
        """The decoder of an embedder."""
        import jax  # here and below: --help needs no JAX

        embedder = loaded.embedder
        transform = None
        if "transform" in embedder.params:
            transform = functools.partial(jax.jit(embedder.head_transform), embedder.params)
        return cls(embedder.head.weight, embedding_map, transform)

    def decode(self, hidden: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best tokens int32 [n, k] of embeddings [n, D], best first, and their logits float32 [n, k]."""
        import jax.numpy as jnp

        indices, values = [np.zeros((0, k), np.int32)], [np.zeros((0, k), np.float32)]
        for start in range(0, len(hidden), _BLOCK_ROWS):
            block = hidden[start : start + _BLOCK_ROWS]
            rows = len(block)
            if rows < _BLOCK_ROWS and len(hidden) > _BLOCK_ROWS:  # one compiled shape for long inputs
                block = np.concatenate([block, np.zeros((_BLOCK_ROWS - rows, block.shape[1]), block.dtype)])
            if self._transform is not None:
                block = np.asarray(self._transform(block))
            x, offset = self._map.apply(block)
            top = kernels.aligned_topk(jnp.asarray(x, self._head.dtype), self._head, k)
            indices.append(np.asarray(top.indices)[:rows])
            values.append((np.asarray(top.values) - offset[:, None])[:rows])
        return np.concatenate(indices), np.concatenate(values)


def head_matrix(loaded: encoder.Encoder) -> np.ndarray:
    """The LM head's rows, float32 [V, D]."""
    return np.asarray(loaded.embedder.head.weight, np.float32)


def read_map(files: store_files.StoreFiles) -> EmbeddingMap:
    """The embedding map that a build has stored."""
    return EmbeddingMap(
        *(arrays.read(files, f"{index_run.RETRIEVAL}/{name}") for name in ("matrix", "centre", "mean_row"))
    )
