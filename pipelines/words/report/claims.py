"""The paper's three claims as rows, a column a model."""

from collections.abc import Sequence

from keytokens.pipelines.report.figures import table
from keytokens.pipelines.report.markup import Content, tag
from keytokens.pipelines.report.numerals import number, percent
from keytokens.pipelines.words import summary
from keytokens.pipelines.words.findings import Findings
from keytokens.pipelines.words.report import parts

# Claim -> key of `summary.claims`, what it is; {} is the reference model.
_CLAIMS = {
    "LLMs cluster semantically related words more tightly": {
        "semantic_auc": "AUC, semantic against random",
        "semantic_cohens_d": "Cohen's d",
        "semantic_overlap": "overlap, smaller is tighter",
    },
    "LLMs have the higher average accuracy on BATS": {
        "bats_candidates": "candidate answers",
        "bats_3cosadd": "3CosAdd, mean of categories",
        "bats_mean_of_methods": "mean of the seven methods",
        "bats_best_method": "best method",
    },
    "Some LLMs embed words much as SBERT does": {
        "spearman_to_reference_random": "Spearman's rho to {}, random pairs",
        "spearman_to_reference_bats": "Spearman's rho to {}, BATS pairs",
        "kendall_to_reference_bats": "Kendall's tau to {}, BATS pairs",
        "linear_cka_to_reference": "linear CKA with {}",
    },
}


def section(found: Findings, reference: str) -> Content:
    """Every claim with the figures that speak to it."""
    measured = [summary.claims(found, model, reference) for model in found.models]
    rows: list[Sequence[Content]] = []
    for claim, figures in _CLAIMS.items():
        for place, (key, name) in enumerate(figures.items()):
            show = percent if key.startswith("bats") and key != "bats_candidates" else number
            label = [tag("strong", claim) if not place else None, tag("small", name.format(reference))]
            rows.append([label, *(show(values[key]) for values in measured)])
    return [
        tag(
            "p",
            "Which column belongs to an LLM is for the reader to say: the names are those of the command. Measured on "
            f"the {number(found.num_common)} listed words that all models have, and the BATS pairs that all have.",
        ),
        table(["claim, and what measures it", *parts.names(found)], rows, caption="The paper's claims"),
    ]
