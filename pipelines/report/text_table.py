"""The searchable table of texts, with their key tokens highlighted in place and listed beside them."""

from collections.abc import Mapping, Sequence

from keytokens.pipelines.report import texts
from keytokens.pipelines.report.data import Example, KeyToken
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number

# Texts shown at once; the script shows more on demand, a printer and a browser without scripts show these.
SHOWN = 20
LISTED_TOKENS = 10
_OWN = " Marks and filter are those of the model listed first."
FILTERS = {
    "all": "all texts",
    "aligned": "hold one of their ten key tokens",
    "missed": "hold none of them",
    "truncated": "longer than the model reads",
}


# Row -> (model, its key tokens), of several models: the page's own first.
ByModel = Mapping[int, Sequence[tuple[str, Sequence[KeyToken]]]]


def text_section(examples: Sequence[Example], num_rows: int, by_model: ByModel) -> Content:
    """Search box, filter and table; the script in `script.py` brings them to life.

    Args:
      examples: of the page's own model, whose key tokens are marked.
      num_rows: texts that there are.
      by_model: for the rows that other models' stores hold, too: what each model lists.
    """
    if not examples:
        return tag("p", "No text is shown: none was embedded, or none was asked for.", class_="empty")
    which = (
        f"{number(len(examples))} of {number(num_rows)} texts, spread evenly over the corpus."
        if len(examples) < num_rows
        else f"All {number(len(examples))} texts."
    )
    options = [tag("option", name, value=key) for key, name in FILTERS.items()]
    controls = tag(
        "form",
        tag(
            "label",
            tag("span", "Search texts, ids and tokens"),
            tag("input", type="search", id="search", autocomplete="off"),
        ),
        tag("label", tag("span", "Show texts that"), tag("select", options, id="filter")),
        tag("p", "", id="found", role="status", aria_live="polite"),
        id="controls",
        role="search",
        hidden=True,
    )
    rows = [_row(example, by_model, hidden=index >= SHOWN) for index, example in enumerate(examples)]
    return [
        tag("p", which, " ", _legend(), _OWN if by_model else None),
        controls,
        tag("div", rows, id="table", class_="texts"),
        tag("button", "Show more", id="more", type="button", hidden=True),
        tag("p", f"The first {SHOWN} of {number(len(examples))}.", class_="print-note")
        if len(examples) > SHOWN
        else None,
    ]


def _legend() -> Content:
    return [
        "A ",
        tag("mark", "marked", class_="shade0", data_rank="1"),
        " word is a key token where it stands, with its rank. Of the tokens listed, ",
        tag("span", "filled", class_="chip own"),
        " ones stand in the text, ",
        tag("span", "outlined", class_="chip"),
        " ones are the model's own; the small number is the logit. ",
        texts.affixes(),
    ]


def _chips(key_tokens: Sequence[KeyToken]) -> Html:
    chips = [
        tag(
            "li",
            texts.token_text(token.token),
            tag("small", f"{token.weight:.1f}"),
            class_="chip own" if token.in_text else "chip",
            title="stands in the text" if token.in_text else "added by the model",
        )
        for token in key_tokens[:LISTED_TOKENS]
    ]
    return tag("ol", chips, class_="chips") if chips else tag("p", "No key tokens.", class_="empty")


def _row(example: Example, by_model: ByModel, *, hidden: bool) -> Html:
    kinds = ["aligned" if any(token.in_text for token in example.key_tokens[:LISTED_TOKENS]) else "missed"]
    if example.truncated:
        kinds.append("truncated")
    models = by_model.get(example.row, ())
    lists = [[tag("p", tag("bdi", name), class_="whose"), _chips(key_tokens)] for name, key_tokens in models]
    heading = tag(
        "h3",
        tag("bdi", example.doc_id),
        tag("span", f" row {number(example.row)}", class_="aside"),
        tag("span", "truncated", class_="badge", title="longer than the model reads") if example.truncated else None,
    )
    return tag(
        "article",
        heading,
        tag("p", texts.marked(example), class_="text", dir="auto"),
        lists or _chips(example.key_tokens),
        id=f"row-{example.row}",
        class_="beyond-first" if hidden else None,
        data_kinds=" ".join(kinds),
    )
