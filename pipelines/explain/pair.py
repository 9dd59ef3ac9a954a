"""What two texts share, token by token, and how much of their similarity each token carries."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from keytokens import models
from keytokens.pipelines import encoder, tables
from keytokens.pipelines.analysis import decomposition, overlap
from keytokens.pipelines.explain import colour
from keytokens.pipelines.explain import text as explain_texts
from keytokens.pipelines.report import data, terminal

_BAR_COLUMNS = 16
_SHOWN_SINGLE = 10


@dataclasses.dataclass(frozen=True)
class TokenShare:
    """What one token carries.

    Attributes:
      token: as the tokenizer spells it.
      token_id: its row of the LM head.
      share: of the cosine similarity, in its unit; negative where it sets the texts apart.
      ranks: from 0, among the key tokens of either text; None where it is not among the k best.
    """

    token: str
    token_id: int
    share: float
    ranks: tuple[int | None, int | None]


@dataclasses.dataclass(frozen=True)
class PairExplanation:
    """Two texts and what they share: similarity = shared_total + single_total + remainder.

    Attributes:
      texts: both with their k key tokens.
      similarity: cosine of the embeddings.
      exact: whether the shares are of that cosine itself.
      why_not_exact: '' where they are.
      jaccard: of the two sets of k key tokens.
      weighted_jaccard: the same with logits as weights.
      shared: key tokens of both, largest share first.
      single: key tokens of one text only, largest share first.
      shared_total: what the shared key tokens carry together.
      single_total: what the others carry together.
      remainder: what no key token of either says.
    """

    texts: tuple[data.Example, data.Example]
    similarity: float
    exact: bool
    why_not_exact: str
    jaccard: float
    weighted_jaccard: float
    shared: tuple[TokenShare, ...]
    single: tuple[TokenShare, ...]
    shared_total: float
    single_total: float
    remainder: float


def explain(config: models.EmbedderConfig, first: str, second: str, *, k: int) -> PairExplanation:
    """The explanation of a pair.

    A masked language model's head transforms the embedding before the vocabulary: the decomposition is then of the
    transformed embeddings' cosine, scaled to the embeddings' own, and says that it is approximate.

    Args:
      config: the embedder.
      first: text.
      second: text.
      k: key tokens of each.

    Raises:
      ValueError: k outside the vocabulary, or an empty text.
    """
    texts = (first, second)
    for text, flag in zip(texts, ("--text", "--other"), strict=True):
        explain_texts.check(config, [text], k=k, flag=flag)
    loaded = encoder.shared_encoder(config)
    both, embeddings = explain_texts.decode(loaded, texts, k=k)
    ids = np.array([[token.token_id for token in one.key_tokens] for one in both])
    weights = np.array([[token.weight for token in one.key_tokens] for one in both])
    ranks = [{token: rank for rank, token in enumerate(row)} for row in ids.tolist()]
    union = np.array(sorted({*ranks[0], *ranks[1]}))
    hidden, why = embeddings, ""
    if "transform" in loaded.embedder.params:
        import jax.numpy as jnp  # here: --help needs no JAX

        hidden = np.asarray(loaded.embedder.head_transform(loaded.embedder.params, jnp.asarray(embeddings)), np.float32)
        why = "the head transforms embeddings before the vocabulary; shares are of the transformed embeddings' cosine"
    rows = np.asarray(loaded.embedder.head.weight[union], np.float32)
    split = decomposition.decompose(hidden[0], hidden[1], rows)
    similarity = decomposition.decompose(embeddings[0], embeddings[1], rows[:0]).similarity
    scale = similarity / split.similarity if why and split.similarity else 1.0
    strings = loaded.embedder.token_strings
    tokens = [
        TokenShare(strings[token], token, share, (ranks[0].get(token), ranks[1].get(token)))
        for token, share in zip(union.tolist(), (split.shares * scale).tolist(), strict=True)
    ]
    tokens.sort(key=lambda one: -one.share)
    shared = tuple(one for one in tokens if None not in one.ranks)
    single = tuple(one for one in tokens if None in one.ranks)
    totals = [sum(one.share for one in part) for part in (shared, single)]
    return PairExplanation(
        texts=(both[0], both[1]),
        similarity=similarity,
        exact=not why,
        why_not_exact=why,
        jaccard=float(overlap.jaccard(ids[:1], ids[1:])[0]),
        weighted_jaccard=float(overlap.weighted_jaccard(ids[:1], weights[:1], ids[1:], weights[1:])[0]),
        shared=shared,
        single=single,
        shared_total=totals[0],
        single_total=totals[1],
        remainder=similarity - totals[0] - totals[1],
    )


def render(found: PairExplanation, *, on: bool) -> str:
    """Both texts, their similarity, and who carries it, for a terminal."""
    lines = [
        f"{colour.paint(one.doc_id, 'bold', on=on)}: {colour.highlighted(one.text, one.spans, on=on)}"
        for one in found.texts
    ]
    k = len(found.texts[0].key_tokens)
    lines.append(
        f"\ncosine {found.similarity:.3f}; {len(found.shared)} of {k} key tokens shared: Jaccard {found.jaccard:.3f}, "
        f"weighted {found.weighted_jaccard:.3f}"
    )
    lines.append(
        "the cosine as an exact sum:" if found.exact else f"the cosine as a sum; approximate: {found.why_not_exact}"
    )
    strongest = sorted(found.single, key=lambda one: -abs(one.share))[:_SHOWN_SINGLE]
    most = max([abs(one.share) for one in (*found.shared, *strongest)], default=1.0) or 1.0
    for title, total, shown in (
        ("shared key tokens", found.shared_total, found.shared),
        ("key tokens of one text only", found.single_total, strongest),
        ("what no key token says", found.remainder, ()),
    ):
        lines.append(f"{colour.column(title, 28, 'bold', on=on)}{_carried(total, found.similarity)}")
        lines += _rows(shown, found.similarity, most, on=on)
    if len(found.single) > _SHOWN_SINGLE:
        lines.append(
            colour.paint(f"(of one text only: the {_SHOWN_SINGLE} strongest of {len(found.single)})", "soft", on=on)
        )
    return "\n".join(lines)


def _carried(share: float, similarity: float) -> str:
    percent = f" {100 * share / similarity:+6.1f}%" if abs(similarity) > 1e-9 else ""
    return f"{share:+8.4f}{percent}"


def _rows(shares: Sequence[TokenShare], similarity: float, most: float, *, on: bool) -> list[str]:
    names = [terminal.token_name(one.token) for one in shares]
    width = max([17, *(tables.width_of(name) for name in names)])
    lines = []
    for name, one in zip(names, shares, strict=True):
        ranks = "/".join("-" if rank is None else str(rank + 1) for rank in one.ranks)
        style = "up" if one.share >= 0 else "down"
        bar = colour.paint(colour.bar(abs(one.share) / most, _BAR_COLUMNS), style, on=on)
        lines.append(
            f"  {colour.column(name, width, style, on=on)} {ranks:>7} {_carried(one.share, similarity)}  {bar}"
        )
    return lines
