"""Which words and which pairs does a model have, and which do all models have? A scope is one of the two."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keytokens.pipelines.words import bats
from keytokens.pipelines.words.material import COMMON, OWN, Material
from keytokens.pipelines.words.vectors import WordVectors

Pair = tuple[str, str]
# Which groups of BATS the pairs of each kind come from.
KINDS = {"semantic": bats.SEMANTIC, "morphological": bats.MORPHOLOGICAL}


@dataclasses.dataclass(frozen=True)
class Scope:
    """The words and pairs that one model has, or all models have.

    Attributes:
      words: of the list.
      pairs: "semantic" and "morphological", first pairs of BATS, and "random", of two different words of the list.
      candidates: for analogies.
    """

    words: list[str]
    pairs: dict[str, list[Pair]]
    candidates: list[str]


def scope_of(having: Sequence[WordVectors], material: Material) -> Scope:
    """What all of these models have.

    Raises:
      ValueError: fewer than two words of the list.
    """
    words = _had_by_all(having, material.words)
    if len(words) < 2:
        counts = ", ".join(f"{model.name}: {len(_had_by_all([model], material.words)):,}" for model in having)
        raise ValueError(
            f"{len(words)} of the {len(material.words):,} listed words have a vector in every model ({counts}), so "
            "there is no pair to compare. Leave out the model that lacks them, or give a list of words that it has."
        )
    pairs = {
        kind: [pair for pair in bats.first_pairs(material.categories, groups) if len(_had_by_all(having, pair)) == 2]
        for kind, groups in KINDS.items()
    }
    pairs["random"] = _random_pairs(words, material.num_random, material.seed)
    if isinstance(material.candidates, str):
        candidates = list(dict.fromkeys([*words, *_had_by_all(having, bats.words_of(material.categories))]))
    else:
        candidates = _had_by_all(having, material.candidates)
    return Scope(words, pairs, candidates)


def scopes_of(vectors: Sequence[WordVectors], material: Material) -> tuple[Scope, list[dict[str, Scope]]]:
    """The common scope, and of each model both scopes; where they hold the same words they are one.

    Raises:
      ValueError: as `scope_of`.
    """
    common = scope_of(vectors, material)
    both = []
    for model in vectors:
        own = scope_of([model], material)
        both.append({OWN: common if own == common else own, COMMON: common})
    return common, both


def _had_by_all(having: Sequence[WordVectors], words: Sequence[str]) -> list[str]:
    return [word for word in words if all(model.row(word) is not None for model in having)]


def _random_pairs(words: Sequence[str], count: int, seed: int) -> list[Pair]:
    """Pairs of two different words, drawn with replacement."""
    rng = np.random.default_rng(seed)
    left = rng.integers(0, len(words), count)
    right = (left + rng.integers(1, len(words), count)) % len(words)
    return [(words[i], words[j]) for i, j in zip(left.tolist(), right.tolist(), strict=True)]
