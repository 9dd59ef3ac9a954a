"""How similar are words: all pairs, related against random ones, and against people's scores?"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from keytokens.pipelines.report.figures import table
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number, percent
from keytokens.pipelines.words.findings import AllPairs, Findings, ModelFindings
from keytokens.pipelines.words.material import COMMON, OWN
from keytokens.pipelines.words.pictures import Pictures, related_name
from keytokens.pipelines.words.report import parts

# Bins of the numbers beside a figure; all_pairs.npz has them all.
_COARSER = 20
# The rate of fewer pairs is that of compiling.
_RATED_PAIRS = 10**8


def all_pairs(found: Findings, drawn: Pictures) -> Content:
    """The distribution over all pairs, in figures and in numbers."""
    pictured = {"all_pairs": OWN, "all_pairs_common": COMMON}
    figures = [
        parts.picture(
            drawn, name, caption=f"Each model on its {parts.SCOPES[scope]}.", rows=_bins(found, scope),
            shown=_facts(found, scope),
        )
        for name, scope in pictured.items()
        if name in drawn
    ]  # fmt: skip
    return [
        tag(
            "p",
            "The cosine of every word of the list with every other, none left out. A narrow peak far from 0 means that "
            "the vectors share a direction, and says nothing of how well they tell words apart.",
        ),
        parts.side_by_side(figures),
        parts.heading("In numbers"),
        _facts(found, OWN),
    ]


def related(found: Findings, drawn: Pictures) -> Content:
    """Related pairs of BATS against random ones."""
    figures = [
        parts.picture(
            drawn, related_name(place), caption="On the model's own words.", rows=_separation_rows([model], OWN),
            shown=_separation(found, OWN, [model]),
        )
        for place, model in enumerate(found.models)
    ]  # fmt: skip
    return [
        tag(
            "p",
            "Pairs of BATS, each word with its first answer, against random pairs of the list. AUC is the chance that "
            "a related pair is more similar than a random one; d the distance of the means in standard deviations; "
            "overlap the area that the two distributions share.",
        ),
        parts.heading("On the common words"),
        _separation(found, COMMON, found.models),
        parts.heading("On each model's own words"),
        _separation(found, OWN, found.models),
        parts.side_by_side(figures),
    ]


def people(found: Findings) -> Html:
    """Spearman's rho with human scores, and the pairs covered."""
    rows: list[Sequence[Content]] = []
    for name in found.models[0].sets:
        scores = [model.sets[name] for model in found.models]
        cells = [
            [number(round(each.spearman, 3)), tag("small", f"{number(each.covered)} of {number(each.total)} pairs")]
            for each in scores
        ]
        common = tag("small", f"the {number(scores[0].covered_common)} common pairs")
        rows += [[name, *cells], [common, *(number(round(each.spearman_common, 3)) for each in scores)]]
    return table(["Spearman's rho", *parts.names(found)], rows, caption="Spearman's rho with people's scores")


def _facts(found: Findings, scope: str) -> Html:
    shares = list(found.models[0].all_pairs[scope].quantiles)
    by_share = [
        [f"{percent(share)} lie below", *(number(model.all_pairs[scope].quantiles[share]) for model in found.models)]
        for share in shares
    ]
    facts: dict[str, Callable[[AllPairs], str]] = {
        "words": lambda pairs: number(pairs.num_words),
        "pairs": lambda pairs: number(pairs.num_pairs),
        "mean": lambda pairs: number(pairs.mean),
        "standard deviation": lambda pairs: number(pairs.std),
        "million pairs counted a second": lambda pairs: (
            number(pairs.num_pairs / pairs.sec / 1e6) if pairs.num_pairs > _RATED_PAIRS else "too few to say"
        ),
    }
    rows = [[name, *(fact(model.all_pairs[scope]) for model in found.models)] for name, fact in facts.items()]
    header = [parts.SCOPES[scope], *parts.names(found)]
    return table(header, [*rows, *by_share], caption=f"All pairs, {parts.SCOPES[scope]}")


def _bins(found: Findings, scope: str) -> list[dict[str, Any]]:
    histograms = {model.name: model.all_pairs[scope].histogram.coarser(_COARSER) for model in found.models}
    edges = next(iter(histograms.values())).edges.tolist()
    return [
        {"from": low, "to": high, **{name: int(each.counts[place]) for name, each in histograms.items()}}
        for place, (low, high) in enumerate(itertools.pairwise(edges))
    ]


def _separation_rows(models: Sequence[ModelFindings], scope: str) -> list[dict[str, Any]]:
    return [
        {"model": model.name, "pairs": kind, **dataclasses.asdict(each)}
        for model in models
        for kind, each in model.separation[scope].items()
    ]


def _separation(found: Findings, scope: str, models: Sequence[ModelFindings]) -> Html:
    columns = {
        "num_related": "pairs",
        "mean_related": "mean",
        "mean_random": "mean of random",
        "auc": "AUC",
        "cohens_d": "Cohen's d",
        "overlap": "overlap",
    }
    rows: list[Sequence[Content]] = [
        [f"{row['model']}, {row['pairs']}", *(number(row[key]) for key in columns)]
        for row in _separation_rows(models, scope)
    ]
    return table(["model, pairs", *columns.values()], rows, caption=f"Separation, {parts.SCOPES[scope]}")
