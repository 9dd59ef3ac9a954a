"""What does each option do to retrieval? One option of the default varied at a time, on several collections at once.

Everything happens in memory, from a store's embeddings (bench.py).
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keytokens import models
from keytokens.pipelines import encoder
from keytokens.pipelines.retrieval import beir, checks, evaluation
from keytokens.pipelines.retrieval.bench import Bench
from keytokens.pipelines.retrieval.options import IndexOptions, QueryOptions
from keytokens.pipelines.store import reader


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table: what it varies, and the options that result."""

    varied: str
    index: IndexOptions
    query: QueryOptions


def rows() -> list[Row]:
    """The default, then one option varied at a time, then recipes of others."""
    index, query = IndexOptions(literal="none"), QueryOptions()
    found = [Row("default", index, query)]
    of_documents: dict[str, tuple[Any, ...]] = {
        "k": (64, 128, 512, 1000),
        "decoding": ("plain",),
        "centred": (True,),
        "without_first": (True,),
        "weighting": ("log", "one"),
        "normalize": ("euclidean", "none"),
        "hub_share": (0.05, 0.1),
        "max_postings": (50, 200),
        "in_text_only": (True,),
        "impacts": ("uint8",),
    }
    for name, values in of_documents.items():
        found += [Row(f"{name}={value}", dataclasses.replace(index, **{name: value}), query) for value in values]
    of_queries: dict[str, tuple[Any, ...]] = {
        "m": (64, 128, 256, 1024, 2048, 4096),
        "idf_power": (0.0, 1.0),
        "literal_weight": (1.0,),
    }
    for name, values in of_queries.items():
        found += [Row(f"{name}={value}", index, dataclasses.replace(query, **{name: value})) for value in values]
    plain = IndexOptions(literal="none", decoding="plain", weighting="log", normalize="none")
    found += [
        Row("plain logits, log, m=256, idf", plain, QueryOptions(m=256, idf_power=1)),
        Row("the same, whitened", dataclasses.replace(plain, decoding="whitened"), QueryOptions(m=256, idf_power=1)),
        Row("the same, plain, centred", dataclasses.replace(plain, centred=True), QueryOptions(m=256, idf_power=1)),
        Row(
            "the same, plain, without V_1",
            dataclasses.replace(plain, without_first=True),
            QueryOptions(m=256, idf_power=1),
        ),
        Row(
            "the paper's: raw logits, literal query tokens and ten key tokens, unit weights",
            dataclasses.replace(plain, weighting="logit"),
            QueryOptions(m=10, idf_power=0, literal_weight=1, unit_weights=True),
        ),
    ]
    return found


def sweep(config: models.EmbedderConfig, collections: Sequence[beir.Collection], urls: Sequence[str]) -> dict[str, Any]:
    """Every row on every collection: nDCG@10, its ratio to dense, Recall@100 and postings touched a query.

    Rows that the embedder cannot be indexed with are left out with their reason. A ratio to a dense nDCG of 0 is nan.

    Args:
      config: the stores' embedder.
      collections: queries and judgements.
      urls: the store of each collection, with embeddings.
    """
    varied, skipped = _possible(config)
    table: list[dict[str, Any]] = [{"varied": row.varied, "collections": {}} for row in varied]
    references = {}
    for collection, url in zip(collections, urls, strict=True):
        bench = Bench(config, collection, reader.StoreReader(url))
        dense = bench.dense()
        references[collection.name] = {"dense": dense, "bm25": bench.literal()}
        for entry, row in zip(table, varied, strict=True):
            found = bench.measure(row.index, row.query)
            entry["collections"][collection.name] = {
                **found,
                "ratio": evaluation.ratio_of(found["nDCG@10"], dense["nDCG@10"]),
            }
    for entry in table:
        ratios = [found["ratio"] for found in entry["collections"].values() if not math.isnan(found["ratio"])]
        entry["least_ratio"] = min(ratios, default=math.nan)
    return {"references": references, "rows": table, "skipped": skipped, "conclusion": conclusion(table)}


def _possible(config: models.EmbedderConfig) -> tuple[list[Row], dict[str, str]]:
    """The rows that the embedder can be indexed with, and why it cannot with the others."""
    loaded, possible, skipped = encoder.shared_encoder(config), [], {}
    for row in rows():
        try:
            checks.check_embedder(loaded, row.index)
            possible.append(row)
        except ValueError as error:
            skipped[row.varied] = str(error)
    return possible, skipped


def conclusion(table: Sequence[dict[str, Any]]) -> str:
    """Why the default is the default, in words that follow from the table: who beats its least ratio, at what cost."""
    default = table[0]
    if math.isnan(default["least_ratio"]):
        return "Dense nDCG@10 is 0 on every collection, so ratios to it say nothing of any option."
    unmeasured = [name for name, found in default["collections"].items() if math.isnan(found["ratio"])]
    but = f" but {', '.join(unmeasured)}, where dense nDCG@10 is 0" if unmeasured else ""
    cost = _postings(default)
    better = [entry for entry in table[1:] if entry["least_ratio"] > default["least_ratio"]]
    cheaper = [entry["varied"] for entry in better if _postings(entry) <= cost * 1.001]
    dearer = [f"{entry['varied']} ({_postings(entry) / cost:.1f} times the postings)" for entry in better
              if _postings(entry) > cost * 1.001]  # fmt: skip
    return (
        f"The default keeps at least {default['least_ratio']:.3f} of dense nDCG@10 on every collection{but}. "
        f"No dearer and better: {', '.join(cheaper) or 'none'}. Better and dearer: {', '.join(dearer) or 'none'}."
    )


def _postings(entry: dict[str, Any]) -> float:
    return float(np.mean([found["postings"] for found in entry["collections"].values()]))
