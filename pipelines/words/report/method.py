"""Vocabulary, what was left out, and how the numbers are defined."""

from collections.abc import Sequence

from keytokens.pipelines.report.figures import table
from keytokens.pipelines.report.markup import Content, tag
from keytokens.pipelines.report.numerals import number
from keytokens.pipelines.words.findings import Findings

_NOTES = (
    "A word is looked up as it is spelled, then in lower case; what a model still lacks is left out of its own words, "
    "and of the common words of all. Our models read an underscore as a space and lack a word only if their tokenizer "
    "knows no piece of it.",
    "All pairs: unit vectors are rounded to a grid on which float32 sums are exact, so counts do not depend on tiles "
    "or devices. A cosine moves by 0.0001 (standard deviation); bins are 0.001 wide and hold their lower edge. "
    "words.json also has mean and deviation as computed from the vectors alone.",
    "Analogies: a' is the first answer of a; a, a' and b are no candidates, for methods with one question a pair b "
    "alone is none; every accepted answer of b counts. A question whose answers are all words of the question counts "
    "as wrong, as does a tie.",
)


def section(found: Findings) -> Content:
    """A row a model, then the notes."""
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
    header = ["model", "vectors", "D", "words", "left out besides"]
    return [table(header, rows, caption="Vocabulary"), [tag("p", note) for note in _NOTES]]
