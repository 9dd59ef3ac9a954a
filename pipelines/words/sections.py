"""What each section of the report says."""

from collections.abc import Callable, Sequence

from keytokens.pipelines.analysis.analogy import METHODS
from keytokens.pipelines.figures import inline
from keytokens.pipelines.report.figures import figure, table
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number, percent
from keytokens.pipelines.words import summary
from keytokens.pipelines.words.analogies import Analogies
from keytokens.pipelines.words.findings import AllPairs, Findings, ModelFindings
from keytokens.pipelines.words.material import COMMON, LISTED, OWN
from keytokens.pipelines.words.pictures import Pictures, related_name

_SCOPES = {OWN: "own words", COMMON: "common words"}
_CLAIMS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "LLMs cluster semantically related words more tightly",
        (
            ("semantic_auc", "AUC, semantic against random"),
            ("semantic_cohens_d", "Cohen's d"),
            ("semantic_overlap", "overlap, smaller is tighter"),
        ),
    ),
    (
        "LLMs have the higher average accuracy on BATS",
        (
            ("bats_candidates", "candidate answers"),
            ("bats_3cosadd", "3CosAdd, mean of categories"),
            ("bats_mean_of_methods", "mean of the seven methods"),
            ("bats_best_method", "best method"),
        ),
    ),
    (
        "Some LLMs embed words much as SBERT does",
        (
            ("spearman_to_reference_random", "Spearman's rho to {}, random pairs"),
            ("spearman_to_reference_bats", "Spearman's rho to {}, BATS pairs"),
            ("kendall_to_reference_bats", "Kendall's tau to {}, BATS pairs"),
            ("linear_cka_to_reference", "linear CKA with {}"),
        ),
    ),
)
_SHOWN_WORDS = 8


def claims(found: Findings, reference: str) -> Content:
    """The paper's three claims as rows, a column a model."""
    measured = [summary.claims(found, model, reference) for model in found.models]
    rows: list[Sequence[Content]] = []
    for claim, lines in _CLAIMS:
        for place, (key, name) in enumerate(lines):
            show = percent if key.startswith("bats") and key != "bats_candidates" else number
            label = [tag("strong", claim) if not place else None, tag("small", name.format(reference))]
            rows.append([label, *(show(values[key]) for values in measured)])
    return [
        tag(
            "p",
            "Which column belongs to an LLM is for the reader to say: the names are those of the command. Measured on "
            f"the {number(found.num_common)} listed words that all models have, and the BATS pairs that all have.",
        ),
        table(["claim, and what measures it", *_names(found)], rows, caption="The paper's claims"),
    ]


def all_pairs(found: Findings, drawn: Pictures) -> Content:
    """The distribution over all pairs, in figures and in numbers."""
    content: list[Content] = [
        tag(
            "p",
            "The cosine of every word of the list with every other, none left out. A narrow peak far from 0 means that "
            "the vectors share a direction, and says nothing of how well they tell words apart.",
        )
    ]
    pictured = [("all_pairs", OWN), ("all_pairs_common", COMMON)]
    content.append(
        tag(
            "div",
            [
                _picture(drawn, name, f"Each model on its {_SCOPES[scope]}.", _pairs_table(found, scope))
                for name, scope in pictured
                if name in drawn
            ],
            class_="figures",
        )
    )
    content.append(_pairs_table(found, OWN))
    return content


def _pairs_table(found: Findings, scope: str) -> Html:
    shares = list(found.models[0].all_pairs[scope].quantiles)
    facts: list[tuple[str, Callable[[AllPairs], str]]] = [
        ("words", lambda pairs: number(pairs.num_words)),
        ("pairs", lambda pairs: number(pairs.num_pairs)),
        ("mean", lambda pairs: number(pairs.mean)),
        ("standard deviation", lambda pairs: number(pairs.std)),
        *(
            (f"{percent(share)} lie below", lambda pairs, share=share: number(pairs.quantiles[share]))
            for share in shares
        ),
        ("million pairs counted a second", lambda pairs: number(pairs.num_pairs / pairs.sec / 1e6)),
    ]
    rows = [[name, *(fact(model.all_pairs[scope]) for model in found.models)] for name, fact in facts]
    return table([_SCOPES[scope], *_names(found)], rows, caption=f"All pairs, {_SCOPES[scope]}")


def related(found: Findings, drawn: Pictures) -> Content:
    """Related pairs against random ones."""
    figures = [
        _picture(drawn, related_name(place), "On the model's own words.", _separation_table(found, OWN, [model]))
        for place, model in enumerate(found.models)
    ]
    return [
        tag(
            "p",
            "Pairs of BATS, each word with its first answer, against random pairs of the list. AUC is the chance that "
            "a related pair is more similar than a random one; d the distance of the means in standard deviations; "
            "overlap the area that the two distributions share.",
        ),
        tag("h3", "On the common words"),
        _separation_table(found, COMMON, found.models),
        tag("h3", "On each model's own words"),
        _separation_table(found, OWN, found.models),
        tag("div", figures, class_="figures"),
    ]


def _separation_table(found: Findings, scope: str, models: Sequence[ModelFindings]) -> Html:
    rows: list[Sequence[Content]] = [
        [
            f"{model.name}, {kind}",
            number(each.num_related),
            number(each.mean_related),
            number(each.mean_random),
            number(each.auc),
            number(each.cohens_d),
            number(each.overlap),
        ]
        for model in models
        for kind, each in model.separation[scope].items()
    ]
    header = ["model, pairs", "pairs", "mean", "mean of random", "AUC", "Cohen's d", "overlap"]
    return table(header, rows, caption=f"Separation, {_SCOPES[scope]}")


def people(found: Findings) -> Html:
    """Spearman's rho with human scores and the pairs covered."""
    rows = []
    for name in found.models[0].sets:
        scores = [model.sets[name] for model in found.models]
        cells = [
            [number(round(each.spearman, 3)), tag("small", f"{number(each.covered)} of {number(each.total)} pairs")]
            for each in scores
        ]
        rows.append([name, *cells])
        common = [[number(round(each.spearman_common, 3))] for each in scores]
        rows.append([[tag("small", f"the {number(scores[0].covered_common)} common pairs")], *common])
    return table(["Spearman's rho", *_names(found)], rows, caption="Spearman's rho with people's scores")


def analogies(found: Findings, drawn: Pictures) -> Content:
    """Every method on every category, for each candidate set."""
    intro = tag(
        "p",
        "Accuracy depends on how many words an answer is looked for among, so the candidates are named. Large: an "
        "accepted answer in the first place; small: among the first five. Means of categories, of those that had a "
        "question.",
    )
    return [intro, [_answered_from(found, drawn, candidates) for candidates in found.candidates]]


_CANDIDATES = {
    OWN: "Candidates: the listed words and the words of BATS that the model has",
    COMMON: "Candidates: the listed words and the words of BATS that all models have",
    LISTED: "Candidates: the words of the list given for them",
}


def _answered_from(found: Findings, drawn: Pictures, candidates: str) -> Content:
    solved = [(model.name, model.analogies[candidates]) for model in found.models]
    groups = list(dict.fromkeys(each.group for each in solved[0][1].categories))
    averages: list[Sequence[Content]] = []
    for name, each in solved:
        for place, method in enumerate(METHODS):
            label = [tag("strong", name) if not place else None, tag("small", method)]
            cells = [
                [
                    percent(each.average(method, group=group)),
                    tag("small", percent(each.average(method, group=group, top=5))),
                ]
                for group in (*groups, None)
            ]
            averages.append([label, *cells])
    return [
        tag("h3", _CANDIDATES[candidates]),
        tag("p", "; ".join(f"{name}: {number(each.num_candidates)} words" for name, each in solved), class_="aside"),
        tag(
            "div",
            _picture(drawn, f"analogies_{candidates}", "The first place, mean of all categories.", None),
            _picture(drawn, f"analogies_{candidates}_groups", "Of each group the method that is best there.", None),
            class_="figures",
        ),
        table(["model, method", *groups, "all"], averages, caption=f"Accuracy by method and group, {candidates}"),
        [tag("details", tag("summary", f"By category: {name}"), _by_category(name, each)) for name, each in solved],
    ]


def _by_category(name: str, solved: Analogies) -> Html:
    rows: list[Sequence[Content]] = [
        [
            f"{each.code} {each.name}",
            f"{each.covered_pairs} of {each.num_pairs}",
            *(percent(each.top1[method]) for method in METHODS),
        ]
        for each in solved.categories
    ]
    return table(["category", "pairs asked", *METHODS], rows, caption=f"Accuracy by category, {name}")


def agreement(found: Findings, reference: str, drawn: Pictures) -> Content:
    """Rank correlations, CKA, closeness to the reference, and the pairs that models see most differently."""
    names = _names(found)
    content: list[Content] = [
        tag(
            "p",
            "Do two models call the same pairs similar? Rank correlation of their cosines over the same pairs of "
            "common words, and linear CKA of their matrices of common words. Models that agree stand together.",
        )
    ]
    figures = []
    for kind, agreed in found.agreement.items():
        kendall = [[name, *map(number, agreed.kendall[place].tolist())] for place, name in enumerate(names)]
        numbers = table(["Kendall's tau-b", *names], kendall, caption=f"Kendall's tau-b, {kind} pairs")
        figures.append(
            _picture(
                drawn, f"agreement_{kind}", f"{number(agreed.num_pairs)} pairs. The numbers: Kendall's tau-b.", numbers
            )
        )
    cka = [[name, *map(number, found.cka[place].tolist())] for place, name in enumerate(names)]
    figures.append(
        _picture(
            drawn,
            "agreement_cka",
            f"{number(found.num_common)} words.",
            table(["linear CKA", *names], cka, caption="Linear CKA"),
        )
    )
    content += [tag("div", figures, class_="figures"), tag("h3", "Where they disagree most")]
    for kind, agreed in found.agreement.items():
        for pair, rows in agreed.disagreements.items():
            left, right = pair.split(" | ", 1)
            lines = [
                [f"{each.left}, {each.right}", *map(number, (*each.cosines, round(each.rank_difference, 3)))]
                for each in rows
            ]
            content.append(
                tag(
                    "details",
                    tag("summary", f"{left} against {right}, {kind} pairs"),
                    table(["pair", left, right, "difference of rank"], lines, caption=f"{pair}, {kind}"),
                )
            )
    return content


def neighbours(found: Findings) -> Content:
    """The nearest words of a few."""
    common = [set(model.neighbours.words) for model in found.models if model.neighbours]
    assert found.models[0].neighbours is not None
    shared = [word for word in found.models[0].neighbours.words if all(word in each for each in common)]
    step = max(1, len(shared) // _SHOWN_WORDS)
    rows: list[Sequence[Content]] = []
    for word in shared[step // 2 :: step][:_SHOWN_WORDS]:
        cells = []
        for model in found.models:
            near = model.neighbours
            assert near is not None
            cells.append(", ".join(near.words[row] for row in near.rows[near.words.index(word)].tolist()))
        rows.append([word, *cells])
    return [
        tag("p", "The most similar of the model's own words, for words spread evenly over the common ones."),
        table(["word", *_names(found)], rows, caption="Nearest neighbours"),
    ]


def method(found: Findings) -> Content:
    """Vocabulary, what was left out, and how the numbers are defined."""
    rows: list[Sequence[Content]] = [
        [
            model.name,
            model.kind,
            number(model.dimension),
            f"{number(model.covered)} of {number(found.num_words)}",
            "; ".join(f"{reason}: {number(count)}" for reason, count in model.skipped.items()) or "nothing",
        ]
        for model in found.models
    ]
    notes = (
        "A word is looked up as it is spelled, then in lower case; what a model still lacks is left out of its own "
        "words, and of the common words of all. Our models read an underscore as a space and lack a word only if their "
        "tokenizer knows no piece of it.",
        "All pairs: unit vectors are rounded to a grid on which float32 sums are exact, so counts do not depend on "
        "tiles or devices. A cosine moves by 0.0001 (standard deviation); bins are 0.001 wide and hold their lower "
        "edge. words.json also has mean and deviation as computed from the vectors alone.",
        "Analogies: a' is the first answer of a; a, a' and b are no candidates, for methods with one question a pair b "
        "alone is none; every accepted answer of b counts. A question whose answers are all words of the question "
        "counts as wrong, as does a tie.",
    )
    return [
        table(["model", "vectors", "D", "words", "left out"], rows, caption="Vocabulary"),
        [tag("p", note) for note in notes],
    ]


def _picture(drawn: Pictures, name: str, caption: str, numbers: Html | None) -> Html:
    title, chart = inline.markup(drawn[name], name)
    markup = Html(chart)
    if numbers is None:
        return tag("figure", tag("h3", title), markup, tag("figcaption", caption))
    return figure(markup, heading=title, caption=caption, numbers=numbers)


def _names(found: Findings) -> list[str]:
    return [model.name for model in found.models]
