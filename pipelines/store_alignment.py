"""How well do the texts of a store align with their own tokens, against a shuffled control? No model is needed.

n texts, k postings a text, V vocabulary size.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from keytokens.pipelines import results
from keytokens.pipelines.analysis import alignment, bootstrap, token_classes
from keytokens.pipelines.analysis.ragged import Ragged
from keytokens.pipelines.store import reader

# Whose tokens each text's key tokens are compared with.
OWN, CONTENT, SHUFFLED, SHUFFLED_CONTENT = "own", "content", "shuffled", "shuffled_content"
_CLASSES = tuple(field.name for field in dataclasses.fields(token_classes.TokenClasses))


@dataclasses.dataclass(frozen=True)
class StoreAlignment:
    """The alignment of one store.

    Attributes:
      store: its URL.
      model: name of the embedder.
      corpus_sha256: of the corpus; stores of one corpus can be compared text by text.
      paper_compat: counted as the paper's public code counts.
      metrics: "own" tokens, their "content" only, and both "shuffled": of another text.
      class_shares: class of vocabulary entries -> its mean share of the hit_at best key tokens.
      texts: per text, of "own"; for paired comparisons. Dead letters have no tokens there.
    """

    store: str
    model: str
    corpus_sha256: str
    paper_compat: bool
    metrics: dict[str, alignment.Alignment]
    class_shares: dict[str, bootstrap.Interval]
    texts: alignment.TextAlignment


@dataclasses.dataclass(frozen=True)
class Difference:
    """Metrics of `store` minus those of `against`, over the texts that count in both, paired."""

    store: str
    against: str
    hit: bootstrap.Interval
    lar: bootstrap.Interval


def measure_store(
    store: reader.StoreReader, *, hit_at: int = 10, paper_compat: bool = False, seed: int = 0
) -> StoreAlignment:
    """Reads the store once, a shard and its partner for the control in memory.

    Args:
      store: complete, with the texts' own tokens.
      hit_at: K of Hit@K.
      paper_compat: count special tokens, repeats, and nothing past rank K, as the paper's public code does.
      seed: of the shuffled control.

    Raises:
      ValueError: hit_at above the store's k, or a store without the texts' tokens.
    """
    definition = _definition(store, hit_at, paper_compat)
    special = store.special_tokens()
    classes = token_classes.classify(store.tokens(), special=special.special)
    counters = {
        name: alignment.AlignmentCounter(store.dims.vocab_size, definition)
        for name in (OWN, CONTENT, SHUFFLED, SHUFFLED_CONTENT)
    }
    shares = []
    dead = store.column("dead_letter")
    for rows, indices, own, others in _blocks(store, seed):
        if paper_compat:
            alive = ~dead[rows]
            own, others = (tokens.around(special.before, special.after, where=alive) for tokens in (own, others))
        for name, tokens in ((OWN, own), (SHUFFLED, others)):
            counters[name].add(indices, tokens)
        for name, tokens in ((CONTENT, own), (SHUFFLED_CONTENT, others)):
            counters[name].add(indices, tokens.keep(classes.content))
        shares.append(
            alignment.class_shares(indices[~dead[rows], :hit_at], [getattr(classes, name) for name in _CLASSES])
        )
    stacked = np.concatenate([np.zeros((0, len(_CLASSES))), *shares])
    return StoreAlignment(
        store=store.files.url,
        model=store.manifest["identity"]["model"]["name"],
        corpus_sha256=store.manifest["identity"]["corpus_sha256"],
        paper_compat=paper_compat,
        metrics={name: counter.result() for name, counter in counters.items()},
        class_shares={name: bootstrap.mean_interval(stacked[:, i]) for i, name in enumerate(_CLASSES)},
        texts=counters[OWN].texts,
    )


def compare(measured: list[StoreAlignment]) -> list[Difference]:
    """Every store against the first, where both are of one corpus and so of the same texts."""
    first, differences = measured[0], []
    for other in measured[1:]:
        if other.corpus_sha256 != first.corpus_sha256 or len(other.texts.num_tokens) != len(first.texts.num_tokens):
            continue
        both = (other.texts.num_tokens > 0) & (first.texts.num_tokens > 0)
        hit_at = first.metrics[OWN].hit_at
        hits = [(result.texts.first_hit[both] < hit_at).astype(np.float64) for result in (other, first)]
        rates = [result.texts.local_rate[both] for result in (other, first)]
        differences.append(
            Difference(
                other.store,
                first.store,
                hit=bootstrap.mean_interval(hits[0] - hits[1]),
                lar=bootstrap.mean_interval(rates[0] - rates[1]),
            )
        )
    return differences


def to_json(result: StoreAlignment) -> dict[str, Any]:
    """Everything but the per-text numbers."""
    return {
        "store": result.store,
        "model": result.model,
        "paper_compat": result.paper_compat,
        "metrics": results.plain(result.metrics),
        "class_shares": results.plain(result.class_shares),
    }


def sweep_rows(result: StoreAlignment) -> list[dict[str, Any]]:
    """One row a K and comparison."""
    return [
        {"model": result.model, "store": result.store, "against": against, "k": at, "hit": hit, "lar": lar, "gar": gar}
        for against, found in result.metrics.items()
        for at, (hit, lar, gar) in found.sweep.items()
    ]


def _definition(store: reader.StoreReader, hit_at: int, paper_compat: bool) -> alignment.Definition:
    if hit_at > store.dims.k:
        raise ValueError(
            f"{store.files.url} keeps k={store.dims.k} key tokens a text, so that Hit@{hit_at} cannot be counted. "
            "Give a smaller --k, or run align_corpus with a larger one, into a new --output."
        )
    return alignment.paper_code(hit_at) if paper_compat else alignment.Definition(hit_at=hit_at)


def _blocks(store: reader.StoreReader, seed: int) -> Iterator[tuple[slice, np.ndarray, Ragged, Ragged]]:
    """Of every shard its rows, their key tokens, best first, their own tokens, and those of other texts.

    Rows without tokens keep none in the control. The other texts stand in another shard where there are several.
    """
    shards = list(store.shards())
    partner = alignment.other_texts(len(shards), len(shards), seed=seed, same=True)
    for number, (row0, row1) in enumerate(shards):
        indices, _ = store.ranked_postings(row0, row1)
        own = store.text_tokens(row0, row1)
        there = shards[partner[number]]
        pool = own if partner[number] == number else store.text_tokens(*there)
        wanting, giving = np.flatnonzero(own.lengths > 0), np.flatnonzero(pool.lengths > 0)
        others = Ragged.of([[]] * len(own))
        if len(giving) > 1:
            chosen = alignment.other_texts(
                len(wanting), len(giving), seed=seed + 1 + number, same=bool(partner[number] == number)
            )
            rows = np.full(len(own), len(pool))
            rows[wanting] = giving[chosen]
            # One empty list behind the last row, for those that have no tokens themselves.
            others = Ragged(pool.ids, np.append(pool.offsets, pool.offsets[-1])).take(rows)
        yield slice(row0, row1), indices, own, others
