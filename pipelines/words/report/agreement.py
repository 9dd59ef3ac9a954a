"""How far do models agree on the same pairs, where do they not, and what are a word's neighbours in each?"""

from collections.abc import Sequence

import numpy as np

from keytokens.pipelines.report.figures import table
from keytokens.pipelines.report.markup import Content, tag
from keytokens.pipelines.report.numerals import number
from keytokens.pipelines.words.findings import Agreement, Findings
from keytokens.pipelines.words.pictures import Pictures
from keytokens.pipelines.words.report import parts

_SHOWN_WORDS = 8


def section(found: Findings, drawn: Pictures) -> Content:
    """Rank correlations, CKA, and the pairs that models see most differently."""
    figures = [
        parts.picture(
            drawn,
            f"agreement_{kind}",
            caption=f"{number(agreed.num_pairs)} pairs. The numbers have Kendall's tau-b, too.",
            rows=[*_rows(found, "spearman", agreed.spearman), *_rows(found, "kendall", agreed.kendall)],
        )
        for kind, agreed in found.agreement.items()
    ]
    of_words = parts.picture(
        drawn, "agreement_cka", caption=f"{number(found.num_common)} words.", rows=_rows(found, "linear_cka", found.cka)
    )
    return [
        tag(
            "p",
            "Do two models call the same pairs similar? Rank correlation of their cosines over the same pairs of "
            "common words, and linear CKA of their matrices of common words. Models that agree stand together.",
        ),
        parts.side_by_side(figures, of_words),
        parts.heading("Where they disagree most"),
        [_disagreements(kind, agreed) for kind, agreed in found.agreement.items()],
    ]


def neighbours(found: Findings) -> Content:
    """The nearest words of a few words that all models have."""
    near = [model.neighbours for model in found.models if model.neighbours is not None]
    places = [{word: row for row, word in enumerate(each.words)} for each in near]
    shared = [word for word in near[0].words if all(word in each for each in places)]
    step = max(1, len(shared) // _SHOWN_WORDS)
    rows: list[Sequence[Content]] = [
        [
            word,
            *(
                ", ".join(each.words[row] for row in each.rows[place[word]].tolist())
                for each, place in zip(near, places, strict=True)
            ),
        ]
        for word in shared[step // 2 :: step][:_SHOWN_WORDS]
    ]
    return [
        tag("p", "The most similar of the model's own words, for words spread evenly over the common ones."),
        table(["word", *parts.names(found)], rows, caption="Nearest neighbours"),
    ]


def _rows(found: Findings, measure: str, values: np.ndarray) -> list[dict[str, object]]:
    names = parts.names(found)
    return [
        {"measure": measure, "model": name, **dict(zip(names, row, strict=True))}
        for name, row in zip(names, values.tolist(), strict=True)
    ]


def _disagreements(kind: str, agreed: Agreement) -> Content:
    content = []
    for pair, found in agreed.disagreements.items():
        left, right = pair.split(" | ", 1)
        rows: list[Sequence[Content]] = [
            [f"{each.left}, {each.right}", *map(number, (*each.cosines, round(each.rank_difference, 3)))]
            for each in found
        ]
        header = ["pair", left, right, "difference of rank"]
        summary = tag("summary", f"{left} against {right}, {kind} pairs")
        content.append(tag("details", summary, table(header, rows, caption=f"{pair}, {kind}")))
    return content
