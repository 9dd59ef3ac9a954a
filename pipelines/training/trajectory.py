"""What a training does to the embeddings of held-out texts, point by point, in a file of JSON lines."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import scipy.stats

from keytokens import models
from keytokens.models.pooling import pool
from keytokens.pipelines import corpus
from keytokens.pipelines.analysis import alignment, moments, spectrum, token_classes
from keytokens.pipelines.analysis.ragged import Ragged
from keytokens.pipelines.training import sampling, weights

_BATCH = 128
_HIT_AT = 10
_SHOWN_VARIATIONS = 20
# How many aligned tokens LAR and GAR may need: |T_s| of the longest text that is trained on.
_KEPT = 64


@dataclasses.dataclass(frozen=True)
class ScoredPairs:
    """Pairs of texts with what people say of their similarity."""

    left: list[str]
    right: list[str]
    gold: np.ndarray


def read_scored_pairs(path: str) -> ScoredPairs:
    """Lines of a score, a tab, a text, a tab and a text.

    Raises:
      ValueError: a line that is none, with its number.
    """
    left, right, gold = [], [], []
    with corpus.open_raw(path) as raw:
        for number, line in enumerate(raw.read().decode("utf-8").splitlines(), start=1):
            columns = line.split("\t")
            try:
                score = float(columns[0])
                first, second = columns[1:3]
            except ValueError as error:
                raise ValueError(
                    f"{path}, line {number}: {line[:80]!r} is no score and two texts between tabs; correlating without "
                    "it would hide that. Write SCORE<TAB>TEXT<TAB>TEXT."
                ) from error
            gold.append(score)
            left.append(first)
            right.append(second)
    return ScoredPairs(left, right, np.array(gold))


class Probe:
    """Measures an embedder in training against its backbone; appends to trajectory.jsonl.

    Args:
      directory: of the file.
      backbone: with the head that decodes both.
      held_out: texts that are not trained on.
      sts: scored pairs, or None.
      parameters: trainable -> the transformer's whole parameters.
      pooling: how token states become a vector.
      max_length: tokens of a text.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        backbone: models.Embedder,
        held_out: Sequence[str],
        sts: ScoredPairs | None,
        parameters: Callable[[Any], Any],
        *,
        pooling: str,
        max_length: int,
    ):
        self._directory, self._parameters, self._sts = directory, parameters, sts
        self._backbone, self._max_length, self._pooling = backbone, max_length, pooling
        spec = backbone.config.spec

        @jax.jit
        def embed(params: Any, ids: jax.Array, mask: jax.Array) -> jax.Array:
            return pool(weights.hidden_states(spec, params, ids, mask), mask, mask, pooling=pooling)

        self._embed = embed
        self._head = np.asarray(backbone.head.weight, np.float32)
        tokens = backbone.tokenize(held_out)
        self._own = Ragged.of([row.ids[row.text][: max_length - 1] for row in tokens])
        self._held_out = list(held_out)
        classes = token_classes.classify(backbone.token_strings, special=sorted(backbone.special_ids))
        self._content, self._stop = classes.content, classes.stop_word | classes.punctuation
        self._before = self._vectors(backbone.params["body"], self._held_out)

    def observe(self, step: int, trainable: Any) -> None:
        """Adds a point, in place of any that an interrupted training left for this step or later ones."""
        params = self._parameters(trainable)
        after = self._vectors(params, self._held_out)
        pair = moments.PairMoments.of(after, self._before)
        comparison = spectrum.compare(pair)
        point = {
            "step": step,
            "variation": [round(float(value), 5) for value in comparison.variation[:_SHOWN_VARIATIONS]],
            # Where nothing has moved yet there is none.
            "dominance": float(comparison.dominance) if np.isfinite(comparison.dominance) else None,
            **self._alignment(after),
        }
        if self._sts is not None:
            point["sts_spearman"] = self._spearman(params)
        points = [known for known in read_trajectory(self._directory) if known["step"] < step]
        lines = "".join(json.dumps(known) + "\n" for known in [*points, point])
        (self._directory / "trajectory.jsonl").write_text(lines, "utf-8")

    def _alignment(self, vectors: np.ndarray) -> dict[str, float]:
        k = min(_KEPT, len(self._head))
        aligned = np.argsort(-(vectors @ self._head.T), axis=1, kind="stable")[:, :k]
        measured = alignment.measure(aligned, self._own, vocab_size=len(self._head))
        content = self._own.keep(self._content)
        others = alignment.other_texts(len(vectors), len(vectors), seed=0, same=True)
        return {
            "hit_at_10": measured.hit.estimate,
            "lar": measured.lar.estimate,
            "gar": measured.gar.estimate,
            "content_hit_at_10": self._hit(aligned, content),
            "shuffled_content_hit_at_10": self._hit(aligned, content.take(others)),
            "stop_share_of_10": float(self._stop[aligned[:, :_HIT_AT]].mean()),
        }

    def _hit(self, aligned: np.ndarray, own: Ragged) -> float:
        hit = np.any(alignment.in_text(aligned[:, :_HIT_AT], own), axis=1)
        return float(np.mean(hit, where=own.lengths > 0))

    def _spearman(self, params: Any) -> float:
        assert self._sts is not None
        left, right = (_unit(self._vectors(params, side)) for side in (self._sts.left, self._sts.right))
        return float(scipy.stats.spearmanr((left * right).sum(1), self._sts.gold).statistic)

    def _vectors(self, params: Any, some: Sequence[str]) -> np.ndarray:
        """float32 [n, D], in the order of the texts."""
        rows = [row.ids[: self._max_length] for row in self._backbone.tokenize(some)]
        order = np.argsort([len(row) for row in rows], kind="stable")
        found = np.zeros((len(rows), self._backbone.config.hidden_size), np.float32)
        for first in range(0, len(order), _BATCH):
            members = order[first : first + _BATCH]
            # The last batch is filled up, so that every length compiles once.
            filled = [rows[member] for member in np.resize(members, _BATCH)]
            ids, mask = sampling.padded(filled, pad_id=self._backbone.pad_id)
            found[members] = np.asarray(self._embed(params, ids, mask))[: len(members)]
        return found


def read_trajectory(directory: pathlib.Path) -> list[dict[str, Any]]:
    """The points of trajectory.jsonl in order; none where there is no such file."""
    file = directory / "trajectory.jsonl"
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.is_file() else []


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
