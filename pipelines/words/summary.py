"""The findings as JSON, as histograms for other programs, and as lines for a terminal."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keytokens.pipelines import results, tables
from keytokens.pipelines.analysis import analogy
from keytokens.pipelines.words.analogies import Analogies
from keytokens.pipelines.words.findings import AllPairs, Findings, ModelFindings
from keytokens.pipelines.words.material import COMMON, OWN


def to_json(found: Findings, reference: str) -> dict[str, Any]:
    """Everything but the single cosines, the histograms and the neighbours."""
    names = [model.name for model in found.models]
    return results.plain(
        {
            "num_words": found.num_words,
            "num_common": found.num_common,
            "reference": reference,
            "models": {model.name: _model(model) for model in found.models},
            "agreement": {"names": names, "linear_cka": found.cka, **found.agreement},
            "claims": {model.name: claims(found, model, reference) for model in found.models},
        }
    )


def claims(found: Findings, model: ModelFindings, reference: str) -> dict[str, float]:
    """What the paper's three claims say of one model; nan where it was not measured.

    semantic_*: how tightly semantically related words cluster; bats_*: accuracy on BATS; *_to_reference: closeness to
    the reference model, in the paper SBERT. All are over common words, but for bats_* with another candidate set alone.
    """
    own, other = ([each.name for each in found.models].index(name) for name in (model.name, reference))
    semantic = model.separation[COMMON].get("semantic")
    solved = model.analogies.get(COMMON) or next(iter(model.analogies.values()), None)
    averages = [solved.average(method) for method in analogy.METHODS] if solved else []
    known = [average for average in averages if np.isfinite(average)]

    def towards(kind: str, matrix: str) -> float:
        return float(getattr(found.agreement[kind], matrix)[own, other]) if kind in found.agreement else float("nan")

    return {
        "semantic_auc": semantic.auc if semantic else float("nan"),
        "semantic_cohens_d": semantic.cohens_d if semantic else float("nan"),
        "semantic_overlap": semantic.overlap if semantic else float("nan"),
        "bats_candidates": float(solved.num_candidates) if solved else float("nan"),
        "bats_3cosadd": solved.average("3CosAdd") if solved else float("nan"),
        "bats_mean_of_methods": float(np.mean(known)) if known else float("nan"),
        "bats_best_method": max(known, default=float("nan")),
        "spearman_to_reference_random": towards("random", "spearman"),
        "spearman_to_reference_bats": towards("bats", "spearman"),
        "kendall_to_reference_bats": towards("bats", "kendall"),
        "linear_cka_to_reference": float(found.cka[own, other]),
    }


def write_histograms(path: pathlib.Path, found: Findings) -> None:
    """Writes the histograms of all pairs: "edges", float64 [b + 1], and "LABEL (SCOPE)", int64 [b]."""
    arrays = {
        f"{model.name} ({scope})": pairs.histogram.counts
        for model in found.models
        for scope, pairs in model.all_pairs.items()
    }
    np.savez_compressed(path, allow_pickle=False, edges=found.models[0].all_pairs[OWN].histogram.edges, **arrays)


def write_neighbours(directory: pathlib.Path, found: Findings) -> None:
    """Writes LABEL.neighbours.npz: "words" [n], "rows" int32 [n, k] into them, "cosines" float32 [n, k]."""
    for model in found.models:
        if near := model.neighbours:
            np.savez_compressed(
                directory / f"{file_name(model.name)}.neighbours.npz",
                allow_pickle=False,
                words=np.array(near.words),
                rows=near.rows,
                cosines=near.cosines,
            )


def file_name(label: str) -> str:
    """The label as a file name: what may not stand in one becomes a dash."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in label)


def check_file_names(labels: Sequence[str]) -> None:
    """Refuses labels whose files would overwrite each other.

    Raises:
      ValueError: two of them share a file name, upper and lower case being one where a file system says so.
    """
    by_name: dict[str, list[str]] = {}
    for label in labels:
        by_name.setdefault(file_name(label).casefold(), []).append(label)
    if shared := {name: own for name, own in by_name.items() if len(own) > 1}:
        listed = "; ".join(f"{', '.join(map(repr, own))} are all {name}" for name, own in shared.items())
        raise ValueError(
            f"--models: labels share a file name, so that one model's files would replace another's: {listed}. Give "
            "other labels by LABEL=SOURCE; what is no letter, digit, dot, dash or underscore becomes a dash."
        )


def render(found: Findings, reference: str) -> str:
    """The figures that answer the question, a line a model."""
    header = [
        "model",
        "words",
        "all pairs: mean",
        "std",
        "semantic AUC",
        "d",
        "BATS 3CosAdd",
        "best",
        f"rho to {reference}",
    ]
    rows = []
    for model in found.models:
        said, pairs = claims(found, model, reference), model.all_pairs[OWN]
        values = [
            said["semantic_auc"],
            said["semantic_cohens_d"],
            said["bats_3cosadd"],
            said["bats_best_method"],
            said["spearman_to_reference_bats"],
        ]
        rows.append(
            [model.name, f"{model.covered:,}", f"{pairs.mean:.3f}", f"{pairs.std:.3f}"]
            + [f"{value:.3f}" if np.isfinite(value) else "-" for value in values]
        )
    lines = [tables.aligned(header, rows)]
    if sets := list(found.models[0].sets):
        scores = [
            [model.name, *(f"{model.sets[name].spearman:.3f} ({model.sets[name].covered})" for name in sets)]
            for model in found.models
        ]
        lines += ["", "Spearman with people (pairs covered)", tables.aligned(["model", *sets], scores)]
    return "\n".join([*lines, "", f"common words: {found.num_common:,} of {found.num_words:,}"])


def _model(model: ModelFindings) -> dict[str, Any]:
    return {
        "kind": model.kind,
        "dimension": model.dimension,
        "covered": model.covered,
        "skipped": dict(model.skipped),
        "all_pairs": {scope: _all_pairs(pairs) for scope, pairs in model.all_pairs.items()},
        "separation": model.separation,
        "sets": model.sets,
        "analogies": {candidates: _analogies(solved) for candidates, solved in model.analogies.items()},
    }


def _analogies(solved: Analogies) -> dict[str, Any]:
    groups = dict.fromkeys(each.group for each in solved.categories)
    averages = {
        method: {
            f"top{top}": {
                "all": solved.average(method, top=top),
                **{group: solved.average(method, group=group, top=top) for group in groups},
            }
            for top in (1, 5)
        }
        for method in analogy.METHODS
    }
    return {"num_candidates": solved.num_candidates, "averages": averages, "categories": solved.categories}


def _all_pairs(pairs: AllPairs) -> dict[str, Any]:
    fields = {field.name: getattr(pairs, field.name) for field in dataclasses.fields(pairs)}
    del fields["histogram"]
    return {**fields, "pairs_per_sec": pairs.num_pairs / pairs.sec}
