"""The figures of a study, by the name of their file."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from keytokens.pipelines.analysis.analogy import METHODS
from keytokens.pipelines.figures import words
from keytokens.pipelines.words import bats
from keytokens.pipelines.words.findings import Findings
from keytokens.pipelines.words.material import COMMON, OWN

Pictures = Mapping[str, Figure]
# Fewer pairs are drawn in bins of 0.02: in bins of 0.001 a line of theirs is all noise.
_FEW_PAIRS, _COARSER = 2_000_000, 20


def draw(found: Findings) -> Pictures:
    """All figures that there is something to draw in."""
    drawn = {"all_pairs": _all_pairs(found, OWN)}
    if found.num_common < max(model.covered for model in found.models):
        drawn["all_pairs_common"] = _all_pairs(found, COMMON)
    for place, model in enumerate(found.models):
        if found.has_bats:
            drawn[related_name(place)] = words.related(model.name, model.cosines[OWN])
    for candidates in found.candidates:
        solved = {model.name: model.analogies[candidates] for model in found.models}
        by_method = {name: [each.average(method) for method in METHODS] for name, each in solved.items()}
        drawn[f"analogies_{candidates}"] = words.bars("Analogies by method", METHODS, by_method)
        groups = list(bats.GROUPS.values())
        by_group = {
            name: [max(each.average(method, group=group) for method in METHODS) for group in groups]
            for name, each in solved.items()
        }
        drawn[f"analogies_{candidates}_groups"] = words.bars("Analogies by group, best method", groups, by_group)
    if len(found.models) > 1:
        names = [model.name for model in found.models]
        for kind, agreed in found.agreement.items():
            title = {"random": "Spearman's rho, random pairs", "bats": "Spearman's rho, BATS pairs"}[kind]
            drawn[f"agreement_{kind}"] = words.heat_map(title, names, agreed.spearman, agreed.order)
        order = next(iter(found.agreement.values())).order if found.agreement else list(range(len(names)))
        drawn["agreement_cka"] = words.heat_map("Linear CKA, common words", names, np.asarray(found.cka), order)
    return drawn


def _all_pairs(found: Findings, scope: str) -> Figure:
    curves = {}
    for model in found.models:
        histogram = model.all_pairs[scope].histogram
        if histogram.num_pairs < _FEW_PAIRS:
            histogram = histogram.coarser(_COARSER)
        curves[model.name] = (histogram.edges, histogram.density)
    return words.all_pairs(f"Cosines of all pairs, {scope} words", curves)


def related_name(place: int) -> str:
    """The file of a model's related and random pairs."""
    return f"related_{place + 1}"
