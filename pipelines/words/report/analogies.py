"""How often is each method right on BATS, by candidates, group and category?"""

from collections.abc import Sequence

from keytokens.pipelines.analysis.analogy import METHODS
from keytokens.pipelines.report.figures import table
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number, percent
from keytokens.pipelines.words.analogies import Analogies
from keytokens.pipelines.words.bats import GROUPS
from keytokens.pipelines.words.findings import Findings
from keytokens.pipelines.words.material import COMMON, LISTED, OWN
from keytokens.pipelines.words.pictures import Pictures
from keytokens.pipelines.words.report import parts

_CANDIDATES = {
    OWN: "Candidates: the listed words and the words of BATS that the model has",
    COMMON: "Candidates: the listed words and the words of BATS that all models have",
    LISTED: "Candidates: the words of the list given for them",
}
_GROUPS = tuple(GROUPS.values())


def section(found: Findings, drawn: Pictures) -> Content:
    """Every method on every category, for each candidate set."""
    intro = tag(
        "p",
        "Accuracy depends on how many words an answer is looked for among, so the candidates are named. Large: an "
        "accepted answer in the first place; small: among the first five. Means of categories, of those that had a "
        "question.",
    )
    return [intro, [_answered_from(found, drawn, candidates) for candidates in found.candidates]]


def _answered_from(found: Findings, drawn: Pictures, candidates: str) -> Content:
    solved = {model.name: model.analogies[candidates] for model in found.models}
    averages = [
        {
            "model": name,
            "method": method,
            **{group: each.average(method, group=group) for group in _GROUPS},
            "all": each.average(method),
        }
        for name, each in solved.items()
        for method in METHODS
    ]
    by_category = [
        {"model": name, "category": f"{category.code} {category.name}", **category.top1}
        for name, each in solved.items()
        for category in each.categories
    ]
    shown = _averages(solved)
    return [
        parts.heading(_CANDIDATES[candidates]),
        tag("p", "; ".join(f"{name}: {number(each.num_candidates)} words" for name, each in solved.items())),
        parts.side_by_side(
            parts.picture(
                drawn, f"analogies_{candidates}", caption="The first place, mean of all categories.", rows=averages,
                shown=shown,
            ),
            parts.picture(
                drawn, f"analogies_{candidates}_groups", caption="Of each group the method that is best there. The "
                "files: every category.", rows=by_category, shown=shown,
            ),
        ),
        parts.heading("By method and group"),
        shown,
        [_by_category(name, each) for name, each in solved.items()],
    ]  # fmt: skip


def _averages(solved: dict[str, Analogies]) -> Html:
    rows: list[Sequence[Content]] = []
    for name, each in solved.items():
        for place, method in enumerate(METHODS):
            label = [tag("strong", name) if not place else None, tag("small", method)]
            rows.append([label, *(_two_places(each, method, group) for group in (*_GROUPS, None))])
    return table(["model, method", *_GROUPS, "all"], rows, caption="Accuracy by method and group")


def _two_places(solved: Analogies, method: str, group: str | None) -> Content:
    first, five = (solved.average(method, group=group, top=top) for top in (1, 5))
    return [percent(first), tag("small", percent(five))]


def _by_category(name: str, solved: Analogies) -> Html:
    rows: list[Sequence[Content]] = [
        [
            f"{each.code} {each.name}",
            f"{each.covered_pairs} of {each.num_pairs}",
            *(percent(each.top1[method]) for method in METHODS),
        ]
        for each in solved.categories
    ]
    accuracy = table(["category", "pairs asked", *METHODS], rows, caption=f"Accuracy by category, {name}")
    return tag("details", tag("summary", f"By category: {name}"), accuracy)
