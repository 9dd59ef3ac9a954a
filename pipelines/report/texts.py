"""Example texts, their key tokens marked where they stand and listed below with their weights."""

from collections.abc import Sequence

from keytokens import models
from keytokens.pipelines.report.data import Example, KeyToken
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number

# How tokenizers spell "starts a word" and "continues one"; shown paler, so that the word stands out.
_AFFIXES = ("##", "Ġ", "▁")
# Ranks past this one are marked alike: eyes tell no more shades apart.
_SHADES = 8


def examples_section(examples: Sequence[Example]) -> Html:
    """All examples after a legend; weights are drawn on one scale, so that texts can be compared."""
    if not examples:
        return tag("p", "No text is shown: none was embedded, or none was asked for.", class_="empty")
    weights = [token.weight for example in examples for token in example.key_tokens]
    low, high = min([0.0, *weights]), max([0.0, *weights])
    return tag("div", _legend(), [_article(example, low=low, high=high) for example in examples])


def token_text(token: str) -> Html:
    """A token as people read it, its affix pale; safe among text of any direction."""
    affix, name = _parts(token)
    return tag("bdi", tag("span", affix, class_="affix") if affix else None, name, class_="token")


def affixes() -> Content:
    """What the affixes of tokens mean, in a sentence."""
    word_start, mark, continued = (tag("bdi", affix, class_="token") for affix in ("Ġ", "▁", "##"))
    return [word_start, " or ", mark, " before a token starts a word, ", continued, " continues one."]


def _parts(token: str) -> tuple[str, str]:
    """The affix, and the rest as people read it: GPT-2 spells "é", two bytes, as "Ã©". Spaces stay as spelled."""
    affix = next((affix for affix in _AFFIXES if token.startswith(affix) and token != affix), "")
    rest = token.removeprefix(affix)
    name = models.render_token(rest)
    return affix, name if name.isprintable() and name == name.strip() else rest


def _legend() -> Html:
    sample = tag("mark", "marked", class_="shade0", data_rank="1")
    return tag(
        "p",
        sample,
        " is a key token that stands in the text: the small number is its rank, and the mark is fainter the lower it "
        "ranks. In the lists ",
        tag("span", "●", class_="dot"),
        " is a key token from the text and ",
        tag("span", "○", class_="dot"),
        " one that the model adds. Bars are logits, on one scale for all texts. ",
        affixes(),
        class_="legend",
    )


def _article(example: Example, *, low: float, high: float) -> Html:
    heading = tag(
        "h3",
        tag("bdi", example.doc_id),
        tag("span", f" row {number(example.row)}", class_="aside"),
        tag("span", "truncated", class_="badge", title="longer than the model's limit") if example.truncated else None,
    )
    items = [_item(rank, token, low=low, high=high) for rank, token in enumerate(example.key_tokens)]
    tokens = tag("ol", items, class_="tokens") if items else tag("p", "No key tokens.", class_="empty")
    return tag(
        "article", heading, tag("p", marked(example), class_="text", dir="auto"), tokens, id=f"row-{example.row}"
    )


def marked(example: Example) -> Content:
    """The text in pieces: marked, plain, and last, paler, what the model did not see."""
    pieces: list[Content] = []
    end = 0
    for start, stop, rank in example.spans:
        if not end <= start < stop <= len(example.text):
            raise ValueError(
                f"row {example.row}: span ({start}, {stop}, {rank}) must lie in [{end}, {len(example.text)}]: spans "
                "are sorted, do not overlap and end with the text, or it cannot be shown once. Sort and merge them."
            )
        pieces += [example.text[end:start], _mark(example, start, stop, rank)]
        end = stop
    seen = len(example.text) if example.embedded_chars is None else max(end, example.embedded_chars)
    pieces.append(example.text[end:seen])
    if seen < len(example.text):
        pieces.append(tag("span", example.text[seen:], class_="beyond", title="past the model's limit: not embedded"))
    if example.num_chars > len(example.text):
        rest = number(example.num_chars - len(example.text))
        pieces.append(tag("span", f" … {rest} more characters are not shown", class_="aside"))
    return pieces


def _mark(example: Example, start: int, stop: int, rank: int) -> Html:
    title = f"key token {rank + 1}"
    if rank < len(example.key_tokens):
        token = example.key_tokens[rank]
        title = f"{title}: {''.join(_parts(token.token))}, logit {number(token.weight)}"
    shade = f"shade{min(rank, _SHADES - 1)}"
    return tag("mark", example.text[start:stop], class_=shade, data_rank=rank + 1, title=title)


def _item(rank: int, token: KeyToken, *, low: float, high: float) -> Html:
    share = (token.weight - low) / (high - low) if high > low else 0.0
    dot, meaning = ("●", "in the text") if token.in_text else ("○", "added by the model")
    return tag(
        "li",
        tag("span", str(rank + 1), class_="rank", aria_hidden="true"),
        tag("span", dot, class_="dot", role="img", aria_label=meaning, title=meaning),
        token_text(token.token),
        tag("span", tag("span", style=f"width:{100 * share:.1f}%"), class_="bar-track", aria_hidden="true"),
        tag("span", f"{token.weight:.2f}", class_="weight"),
        class_="own" if token.in_text else None,
        title=f"token id {token.token_id}",
    )
