"""The study of paper B (arXiv 2402.11094) over any models: every measurement on every model, and between them."""

from collections.abc import Callable, Sequence

import numpy as np

from keytokens.pipelines.analysis import agreement, pair_statistics, separation
from keytokens.pipelines.words import all_pairs, analogies
from keytokens.pipelines.words.analogies import Analogies
from keytokens.pipelines.words.findings import (
    Agreement,
    AllPairs,
    Disagreement,
    Findings,
    ModelFindings,
    Neighbours,
    SetScore,
)
from keytokens.pipelines.words.material import BOTH, COMMON, LISTED, OWN, Material
from keytokens.pipelines.words.scopes import KINDS, Pair, Scope, scopes_of
from keytokens.pipelines.words.similarity_sets import SimilaritySet
from keytokens.pipelines.words.vectors import WordVectors

_QUANTILES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
_SHOWN_DISAGREEMENTS = 12
Say = Callable[[str], None]


def run_study(vectors: Sequence[WordVectors], material: Material, say: Say = lambda line: None) -> Findings:
    """Measures everything; `say` gets a line before each long step.

    Raises:
      ValueError: the models have fewer than two words in common.
    """
    common, scopes = scopes_of(vectors, material)
    models = [_one_model(model, both, vectors, material, say) for model, both in zip(vectors, scopes, strict=True)]
    say("agreement between the models")
    pairs = {"random": common.pairs["random"], "bats": [pair for kind in KINDS for pair in common.pairs[kind]]}
    rows = [model.unit[model.rows(common.words)] for model in vectors]
    return Findings(
        models=models,
        num_words=len(material.words),
        num_common=len(common.words),
        agreement={kind: _agreement(vectors, each) for kind, each in pairs.items() if len(each) >= 2},
        cka=np.array([[agreement.linear_cka(x, y) for y in rows] for x in rows]),
    )


def _one_model(
    model: WordVectors, scopes: dict[str, Scope], all_models: Sequence[WordVectors], material: Material, say: Say
) -> ModelFindings:
    own, common = scopes[OWN], scopes[COMMON]
    say(f"{model.name}: {len(own.words):,} words, all pairs")
    of_own = _all_pairs(model, own)
    cosines = {scope: _cosines(model, each) for scope, each in scopes.items()}
    neighbours = None
    if k := min(material.num_neighbours, len(own.words) - 1):
        say(f"{model.name}: nearest neighbours")
        neighbours = Neighbours(own.words, *all_pairs.nearest_neighbours(model.unit[model.rows(own.words)], k))
    return ModelFindings(
        name=model.name,
        kind=model.kind,
        dimension=model.dimension,
        covered=len(own.words),
        skipped=model.skipped,
        all_pairs={OWN: of_own, COMMON: of_own if own.words == common.words else _all_pairs(model, common)},
        cosines=cosines,
        separation={scope: _separations(each) for scope, each in cosines.items()},
        sets={each.name: _score(model, all_models, each) for each in material.sets},
        analogies=_analogies(model, scopes, material, say) if material.categories else {},
        neighbours=neighbours,
    )


def _analogies(model: WordVectors, scopes: dict[str, Scope], material: Material, say: Say) -> dict[str, Analogies]:
    """By candidate set; sets of the same words are answered from once."""
    asked = material.candidates
    if not isinstance(asked, str):
        wanted = {LISTED: scopes[OWN].candidates}
    else:
        wanted = {scope: scopes[scope].candidates for scope in ((OWN, COMMON) if asked == BOTH else (asked,))}
    solved: dict[str, Analogies] = {}
    for name, candidates in wanted.items():
        if same := next((other for other in solved if wanted[other] == candidates), None):
            solved[name] = solved[same]
            continue
        say(f"{model.name}: analogies among {len(candidates):,} candidates")
        solved[name] = analogies.solve(model, material.categories, candidates, seed=material.seed)
    return solved


def _all_pairs(model: WordVectors, scope: Scope) -> AllPairs:
    unit = model.unit[model.rows(scope.words)]
    histogram, sec = all_pairs.histogram_of_pairs(unit)
    mean, variance = pair_statistics.closed_form(unit)
    return AllPairs(
        num_words=len(unit),
        num_pairs=histogram.num_pairs,
        mean=histogram.mean,
        std=float(np.sqrt(histogram.variance)),
        mean_closed_form=mean,
        std_closed_form=float(np.sqrt(max(0.0, variance))),
        quantiles=dict(zip(_QUANTILES, histogram.quantiles(_QUANTILES).tolist(), strict=True)),
        sec=sec,
        histogram=histogram,
    )


def _of_pairs(model: WordVectors, pairs: Sequence[Pair]) -> np.ndarray:
    return model.cosines([left for left, _ in pairs], [right for _, right in pairs])


def _cosines(model: WordVectors, scope: Scope) -> dict[str, np.ndarray]:
    return {kind: _of_pairs(model, pairs) for kind, pairs in scope.pairs.items()}


def _separations(cosines: dict[str, np.ndarray]) -> dict[str, separation.Separation]:
    """Of each kind with at least two pairs."""
    return {
        kind: separation.separate(cosines[kind], cosines["random"])
        for kind in KINDS
        if min(len(cosines[kind]), len(cosines["random"])) >= 2
    }


def _score(model: WordVectors, all_models: Sequence[WordVectors], scored: SimilaritySet) -> SetScore:
    people = np.array(scored.scores)
    cosines = model.cosines(scored.left, scored.right)
    own = np.isfinite(cosines)
    common = np.all([np.isfinite(each.cosines(scored.left, scored.right)) for each in all_models], axis=0)
    return SetScore(
        spearman=agreement.spearman_rho(cosines[own], people[own]),
        covered=int(own.sum()),
        total=len(people),
        spearman_common=agreement.spearman_rho(cosines[common], people[common]),
        covered_common=int(common.sum()),
    )


def _agreement(vectors: Sequence[WordVectors], pairs: Sequence[Pair]) -> Agreement:
    cosines = np.stack([_of_pairs(model, pairs) for model in vectors])
    spearman, kendall = agreement.rank_correlations(cosines)
    disagreements = {}
    for i in range(len(vectors)):
        for j in range(i):
            numbers, differences = agreement.largest_disagreements(cosines[j], cosines[i], _SHOWN_DISAGREEMENTS)
            disagreements[f"{vectors[j].name} | {vectors[i].name}"] = [
                Disagreement(
                    left=pairs[number][0],
                    right=pairs[number][1],
                    rank_difference=float(difference),
                    cosines=(float(cosines[j, number]), float(cosines[i, number])),
                )
                for number, difference in zip(numbers.tolist(), differences.tolist(), strict=True)
            ]
    return Agreement(len(pairs), spearman, kendall, agreement.clustered_order(spearman), disagreements)
