"""Texts in, embeddings and aligned tokens out: the jitted heart of a work unit, without files and without Beam.

n texts, D hidden size, V vocabulary, k aligned tokens.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import TYPE_CHECKING

import numpy as np

from keytokens import kernels, models
from keytokens.pipelines import batching
from keytokens.pipelines.analysis import moments

if TYPE_CHECKING:
    import jax

# Raised whenever the same texts come to give other bits, so that no store is begun by one version and ended by another.
# 2: texts share rows. 3: attention in int16 has integer scores. 4: so has its LM head. 5: its weights
# have other steps.
ARITHMETIC = 5
# Rows that one call selects or sums over; the last call is padded, so each compiles once.
_SELECT_ROWS = 512
_MOMENT_ROWS = 1024
# Texts that are tokenised and packed together: enough to fill rows to 99 %; the first, for which the device waits, few.
_WINDOW_TEXTS = 1024
_FIRST_TEXTS = 64
# Tokens of a call. A CPU is fastest with about a thousand, whose numbers stay in its caches; an accelerator wants much
# to do.
_CPU_BATCH_TOKENS = 1024
_ACCELERATOR_BATCH_TOKENS = 16384

_loading = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Embedded:
    """What embedding n texts gave.

    Attributes:
      hidden: float32 [n, D], not normalised.
      tokens: each text's tokens.
      batch_tokens: positions computed, padding included.
    """

    hidden: np.ndarray
    tokens: Sequence[models.Tokens]
    batch_tokens: int


@dataclasses.dataclass(frozen=True)
class Aligned:
    """The aligned tokens of n texts.

    Attributes:
      indices: int32 [n, k], best first.
      values: float32 [n, k], logits.
      logsumexp: float32 [n], over all V logits.
    """

    indices: np.ndarray
    values: np.ndarray
    logsumexp: np.ndarray


class Encoder:
    """A loaded embedder with its compiled programs.

    Args:
      config: which embedder.
      batch_tokens: token budget of a batch, padding included; 0 for the device's own default.
    """

    def __init__(self, config: models.EmbedderConfig, *, batch_tokens: int = 0):
        # Here, not above: JAX takes a second, and a program that only prints its --help loads no embedder.
        import jax

        from keytokens.pipelines import arithmetic

        self.embedder = models.load_embedder(config, ops=arithmetic.ops_for(config.dtype))
        self.layout = "rows"
        if config.recipe.pooling == "decoder":
            self.layout = "alone"
        elif arithmetic.packs_whole_batches(config.spec, config.dtype):
            self.layout = "flat"
        default = _CPU_BATCH_TOKENS if jax.default_backend() == "cpu" else _ACCELERATOR_BATCH_TOKENS
        self.batch_tokens = batch_tokens or default
        self._embed = jax.jit(self.embedder.embed)
        self._embed_packed = jax.jit(self.embedder.embed_packed, static_argnames="num_texts")
        self._transform = jax.jit(self.embedder.head_transform)

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Embedded:
        """The embeddings of the texts, in their order; of queries with the recipe's query prompt and brackets."""
        embedder = self.embedder
        hidden = np.zeros((len(texts), embedder.config.hidden_size), np.float32)
        tokens: list[models.Tokens] = []
        pending, computed = [], 0
        for window in _tokenized_ahead(functools.partial(embedder.tokenize, query=query), texts):
            for batch in batching.plan_batches(
                [len(one.ids) for one in window],
                layout=self.layout,
                max_length=embedder.config.recipe.max_length,
                batch_tokens=self.batch_tokens,
            ):
                # Dispatch returns at once: the device works on this batch while the next one is laid out.
                result = self._run(*_laid_out(batch, window, embedder.pad_id))
                pending.append(([len(tokens) + member for member in batch.members], result))
                computed += batch.size * batch.length
            tokens += window
        for members, result in pending:
            hidden[members] = np.asarray(result)[: len(members)]
        return Embedded(hidden, tokens, computed)

    def _run(self, token_ids: np.ndarray, segments: np.ndarray, pooled: np.ndarray) -> jax.Array:
        params = self.embedder.params
        if self.layout == "alone":
            return self._embed(params, token_ids, segments > 0, pooled)
        num_texts = batching.most_texts(*token_ids.shape)
        return self._embed_packed(params, token_ids, segments, pooled, num_texts=num_texts)

    def embed_ids(self, token_ids: np.ndarray, mask: np.ndarray, pooled: np.ndarray) -> jax.Array:
        """Embeddings float32 [B, D] of laid-out tokens: int32, bool and bool [B, T], as `models.Embedder.embed`."""
        return self._embed(self.embedder.params, token_ids, mask, pooled)

    def warm_up(self, k: int | None) -> None:
        """Compiles every program that any text can need: one a shape, and the selection of `k` tokens."""
        max_length = self.embedder.config.recipe.max_length
        for shape in batching.shapes(self.layout, max_length=max_length, batch_tokens=self.batch_tokens):
            nothing = np.zeros(shape, np.int32)
            self._run(nothing + self.embedder.pad_id, nothing, nothing > 0)
        if k is not None:
            self.align(np.eye(1, self.embedder.config.hidden_size, dtype=np.float32), k)

    def halve_batches(self) -> bool:
        """Halves the token budget for good; False if batches of the longest texts hold a single one already."""
        if self.batch_tokens < 2 * self.embedder.config.recipe.max_length:
            return False
        self.batch_tokens //= 2
        return True

    @functools.cached_property
    def _head(self) -> kernels.PreparedHead:
        """Prepared when first asked for: a backbone's never is."""
        from keytokens.pipelines import arithmetic

        return arithmetic.prepared_head(self.embedder.head, self.embedder.config.dtype)

    def align(self, hidden: np.ndarray, k: int) -> Aligned:
        """The k tokens whose logits are largest for each embedding [n, D]."""
        head = self.embedder.head
        parts = []
        for block, _ in _blocks(hidden, _SELECT_ROWS):
            parts.append(
                kernels.aligned_topk(
                    self._transform(self.embedder.params, block),
                    self._head,
                    k,
                    scale=head.scale,
                    softcap=head.softcap,
                    with_logsumexp=True,
                )
            )
        stacked = [
            np.concatenate([np.asarray(getattr(part, name)) for part in parts] or [empty])[: len(hidden)]
            for name, empty in (
                ("indices", np.zeros((0, k), np.int32)),
                ("values", np.zeros((0, k), np.float32)),
                ("logsumexp", np.zeros(0, np.float32)),
            )
        ]
        return Aligned(*stacked)


def _tokenized_ahead(
    tokenize: Callable[[Sequence[str]], list[models.Tokens]], texts: Sequence[str]
) -> Iterator[list[models.Tokens]]:
    """The tokens of the texts, some at a time, the next ones being read while the device works on these."""
    bounds = [0, *range(_FIRST_TEXTS, len(texts), _WINDOW_TEXTS), len(texts)]
    windows = [texts[start:stop] for start, stop in itertools.pairwise(bounds) if start < stop]
    if len(windows) < 2:
        yield from map(tokenize, windows)
        return
    with futures.ThreadPoolExecutor(1) as ahead:
        following = ahead.submit(tokenize, windows[0])
        for window in windows[1:]:
            tokens, following = following.result(), ahead.submit(tokenize, window)
            yield tokens
        yield following.result()


def _laid_out(
    batch: batching.Batch, tokens: Sequence[models.Tokens], pad_id: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token ids and segments, int32, and pooled, bool, each [size, length]; texts are numbered from 1, row by row."""
    ids = np.full((batch.size, batch.length), pad_id, np.int32)
    segments = np.zeros_like(ids)
    pooled = np.zeros(ids.shape, bool)
    number = 1
    for slot, row in enumerate(batch.rows):
        lengths = [len(tokens[member].ids) for member in row]
        place = slice(0, sum(lengths))
        ids[slot, place] = np.concatenate([tokens[member].ids for member in row])
        pooled[slot, place] = np.concatenate([tokens[member].pooled for member in row])
        segments[slot, place] = np.repeat(np.arange(number, number + len(row), dtype=np.int32), lengths)
        number += len(row)
    return ids, segments, pooled


@functools.lru_cache(maxsize=4)
def _cached(config: models.EmbedderConfig, batch_tokens: int) -> Encoder:
    loaded = Encoder(config, batch_tokens=batch_tokens)
    # A job makes a million small objects, and for every few thousand the collector would walk all that was imported and
    # loaded, 1 % of the time. Nothing of it is ever let go.
    gc.freeze()
    return loaded


def shared_encoder(config: models.EmbedderConfig, *, batch_tokens: int = 0) -> Encoder:
    """The process's one encoder for this configuration: threads and DoFn instances share the weights."""
    with _loading:
        return _cached(config, batch_tokens)


def pair_moments(f: np.ndarray, g: np.ndarray | None, valid: np.ndarray) -> moments.PairMoments:
    """The moments of the valid rows of f [n, D] and, where there is a backbone, g [n, D].

    Sums run in float32 on the device over blocks of 1,024 rows and are merged in float64 here.
    """
    total = moments.PairMoments.zero(f.shape[1], has_backbone=g is not None)
    blocks_g = _blocks(g, _MOMENT_ROWS) if g is not None else None
    for block_f, rows in _blocks(f, _MOMENT_ROWS):
        mask = np.zeros(_MOMENT_ROWS, bool)
        mask[: rows.stop - rows.start] = valid[rows]
        of_f = _to_moments(kernels.block_moments(block_f, mask))
        if blocks_g is None:
            total = moments.merge(total, moments.PairMoments(of_f))
            continue
        block_g, _ = next(blocks_g)
        of_g = _to_moments(kernels.block_moments(block_g, mask))
        cross = np.asarray(kernels.block_cross_scatter(block_f, block_g, mask), np.float64)
        total = moments.merge(total, moments.PairMoments(of_f, of_g, cross))
    return total


def _to_moments(block: kernels.BlockMoments) -> moments.Moments:
    mean, tail, scatter, unit_sum = (
        np.asarray(value, np.float64) for value in (block.mean, block.mean_tail, block.scatter, block.unit_sum)
    )
    return moments.Moments(int(block.count), mean + tail, (scatter + scatter.T) / 2, unit_sum)


def _blocks(rows: np.ndarray, size: int):
    """Blocks of exactly `size` rows, the last filled with its last row, and the slice of `rows` that each holds.

    Of zeros all logits would be equal, and to select among thousands of equals takes long.
    """
    for start in range(0, len(rows), size):
        part = slice(start, min(start + size, len(rows)))
        block = rows[part]
        if len(block) < size:
            block = np.concatenate([block, np.repeat(block[-1:], size - len(block), axis=0)])
        yield block, part
