"""Explanations as HTML pages in the look of the report: self-contained, every text escaped."""

from collections.abc import Sequence

from keytokens.pipelines.explain.instruction import InstructionExplanation, Move
from keytokens.pipelines.explain.pair import PairExplanation, TokenShare
from keytokens.pipelines.explain.scored_pairs import GoldAgreement
from keytokens.pipelines.report import data, page, texts
from keytokens.pipelines.report.figures import table
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number, percent


def of_texts(model: str, found: Sequence[data.Example]) -> str:
    """Texts with their key tokens."""
    return _page(f"Key tokens by {model}", [texts.examples_section(found)])


def of_pair(model: str, found: PairExplanation, agreements: Sequence[GoldAgreement] = ()) -> str:
    """What two texts share."""
    how = "exactly" if found.exact else f"approximately, since {found.why_not_exact}"
    lead = (
        f"The cosine is {number(found.similarity)}: {_signed(found.shared_total)} is carried by the "
        f"{number(len(found.shared))} key tokens that both texts have, {_signed(found.single_total)} by key tokens of "
        f"one text only, and {_signed(found.remainder)} by what no key token says, {how}."
    )
    overlap = f"Jaccard index of the key tokens {number(found.jaccard)}, weighted {number(found.weighted_jaccard)}."
    parts: list[Content] = [tag("p", lead, class_="lead"), tag("p", overlap, class_="aside")]
    for title, shares in (("Shared key tokens", found.shared), ("Key tokens of one text only", found.single)):
        parts.append(tag("h2", title))
        parts.append(_shares(shares, found, title) if shares else tag("p", "None.", class_="empty"))
    parts += [tag("h2", "The texts"), texts.examples_section(found.texts)]
    return _page(f"Two texts by {model}", [*parts, _agreement(agreements)])


def of_agreement(model: str, agreements: Sequence[GoldAgreement]) -> str:
    """Rank correlations with gold scores alone."""
    return _page(f"Shared key tokens and people's scores, by {model}", [_agreement(agreements)])


def of_instructions(model: str, found: InstructionExplanation) -> str:
    """One text under several instructions."""
    base = {token.token_id for token in found.variants[0].example.key_tokens}
    parts: list[Content] = [tag("p", found.text, class_="text", dir="auto")]
    legend = ["A ", tag("span", "filled", class_="chip own"), " key token is one only under the instruction."]
    parts.append(tag("p", legend, class_="legend"))
    if not found.trained:
        parts.append(
            tag(
                "p",
                "This embedder was not trained on instructions: they are read as words before the text.",
                class_="aside",
            )
        )
    for variant in found.variants:
        heading = [tag("h2", tag("bdi", variant.instruction or "No instruction"))]
        if variant.instruction:
            heading.append(tag("p", f"Jaccard index with no instruction: {number(variant.jaccard)}.", class_="aside"))
        chips = [
            tag(
                "li",
                texts.token_text(token.token),
                tag("small", f"{token.weight:.2f}"),
                class_="chip" if token.token_id in base else "chip own",
                title=None if token.token_id in base else "not without this instruction",
            )
            for token in variant.example.key_tokens
        ]
        parts += [heading, tag("ol", chips, class_="chips")]
        if variant.instruction:
            parts.append(_moves(variant.risen, variant.fallen))
    return _page(f"Instructions and key tokens, by {model}", parts)


def _page(title: str, content: Sequence[Content]) -> str:
    header = tag("header", tag("p", "Keytokens", class_="brand"), tag("h1", title))
    return page.document(title, tag("body", header, tag("main", *content)))


def _shares(shares: Sequence[TokenShare], found: PairExplanation, caption: str) -> Html:
    rows = [
        [
            texts.token_text(one.token),
            *("—" if rank is None else number(rank + 1) for rank in one.ranks),
            _signed(one.share),
            percent(one.share / found.similarity) if abs(found.similarity) > 1e-9 else "—",
        ]
        for one in shares
    ]
    headers = ("token", "rank in text 1", "in text 2", "carries", "of the cosine")
    return table(headers, rows, caption=caption)


def _agreement(agreements: Sequence[GoldAgreement]) -> Content:
    if not agreements:
        return None
    rows = [
        [tag("bdi", one.name), number(one.cosine.count), str(one.cosine), str(one.overlap), str(one.weighted_overlap)]
        for one in agreements
    ]
    headers = ("pairs", "count", "cosine", "Jaccard of key tokens", "weighted Jaccard")
    return [
        tag("h2", "Do shared key tokens track people's scores?"),
        tag("p", "Spearman's rank correlation with the gold scores, with its 95 % bootstrap interval."),
        table(headers, rows, caption="Rank correlation with gold scores"),
    ]


def _moves(risen: Sequence[Move], fallen: Sequence[Move]) -> Html:
    def cells(moves: Sequence[Move]) -> Content:
        return tag(
            "ul",
            [tag("li", texts.token_text(one.token), " ", _signed(one.after - one.before)) for one in moves],
            class_="moves",
        )

    return table(("rose most", "fell most"), [[cells(risen), cells(fallen)]], caption="Moves", first_is_header=False)


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "\u2212")
