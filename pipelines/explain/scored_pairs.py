"""Do shared key tokens track what people say of pairs? Files of pairs with gold scores, and rank correlations."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence

import numpy as np

from keytokens import models
from keytokens.pipelines import encoder
from keytokens.pipelines.analysis import correlation, overlap
from keytokens.pipelines.analysis.bootstrap import Interval


@dataclasses.dataclass(frozen=True)
class ScoredPairs:
    """n pairs of texts with what people say of them.

    Attributes:
      name: of the set.
      first: n texts.
      second: n texts.
      gold: float64 [n].
    """

    name: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    gold: np.ndarray


@dataclasses.dataclass(frozen=True)
class GoldAgreement:
    """Spearman's correlation with the gold scores.

    Attributes:
      name: of the set.
      cosine: of the embeddings' cosine: what the embedder itself is judged by.
      overlap: of the Jaccard index of the key tokens.
      weighted_overlap: of their weighted Jaccard index.
    """

    name: str
    cosine: Interval
    overlap: Interval
    weighted_overlap: Interval


def read(path: str, columns: Sequence[int]) -> ScoredPairs:
    """A tab-separated file.

    Args:
      path: of a local file.
      columns: numbers, from 1, of the columns of both texts and of the score. A first line without a score is a header.

    Raises:
      ValueError: no such file, or a line without these columns or without a score.
    """
    if len(columns) != 3 or min(columns) < 1:
        raise ValueError(
            f"--pair_columns={','.join(map(str, columns))} must be three numbers from 1: text, text, score."
        )
    file = pathlib.Path(path)
    if not file.is_file():
        raise ValueError(f"--scored_pairs={path}: there is no such file.")
    first, second, gold = [], [], []
    lines = file.read_text("utf-8").replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        cells = line.split("\t")
        try:
            a, b, score = (cells[column - 1] for column in columns)
            value = float(score)
        except (IndexError, ValueError) as error:
            if number == 1:
                continue
            raise ValueError(
                f"{path}, line {number}: {line[:80]!r} has no texts and score in the columns "
                f"{','.join(map(str, columns))}. Say where they stand with --pair_columns=TEXT,TEXT,SCORE."
            ) from error
        if not (math.isfinite(value) and a.strip() and b.strip()):
            raise ValueError(f"{path}, line {number}: a text is empty, or the score {score!r} is not finite.")
        first.append(a)
        second.append(b)
        gold.append(value)
    if len(gold) < 3:
        raise ValueError(f"{path} holds {len(gold)} scored pairs; a rank correlation needs three.")
    return ScoredPairs(file.stem, tuple(first), tuple(second), np.array(gold))


def agreement(config: models.EmbedderConfig, pairs: ScoredPairs, *, k: int) -> GoldAgreement:
    """The rank correlations of one set; each text is embedded once however often it stands there."""
    loaded = encoder.shared_encoder(config)
    texts = list(dict.fromkeys([*pairs.first, *pairs.second]))
    row_of = {text: row for row, text in enumerate(texts)}
    hidden = loaded.embed(texts).hidden
    aligned = loaded.align(hidden, k)
    a, b = ([row_of[text] for text in side] for side in (pairs.first, pairs.second))
    unit = hidden / np.maximum(np.linalg.norm(hidden, axis=1, keepdims=True), 1e-30)
    ids, weights = aligned.indices, aligned.values
    return GoldAgreement(
        pairs.name,
        cosine=correlation.spearman((unit[a] * unit[b]).sum(1), pairs.gold),
        overlap=correlation.spearman(overlap.jaccard(ids[a], ids[b]), pairs.gold),
        weighted_overlap=correlation.spearman(
            overlap.weighted_jaccard(ids[a], weights[a], ids[b], weights[b]), pairs.gold
        ),
    )
