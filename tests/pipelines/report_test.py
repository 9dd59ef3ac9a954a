"""A report is valid, loads nothing, shows hostile text as text, and renders whatever is missing."""

import base64
import dataclasses
import hashlib
import html.parser
import re

import numpy as np
import pytest

from keytokens.pipelines.analysis import alignment, replicates
from keytokens.pipelines.analysis.contribution import MeanContribution
from keytokens.pipelines.analysis.moments import PairMoments
from keytokens.pipelines.analysis.spectrum import compare, spectrum_of
from keytokens.pipelines.report import data, markup, numerals, page, texts
from keytokens.pipelines.results import plain
from keytokens.pipelines.spectral import StoreSpectra

HOSTILE = {
    "markup": '<script>alert("x")</script><img src=https://example.com/x onerror=y>',
    "quotes": "\"'`& &amp; &lt; </p></article>",
    "control characters": "a\x00b\x07c\rd\x1be\x7ff\x85g\u202eh",
    "surrogates and noncharacters": "\ud800 \udfff \ufffe \U0001ffff \ufdd0",
    "right to left": "مرحبا בעולם",
    "white space": "  two\n\n lines\tand a tab ",
    "astral": "🧬 \U0001d518nicode",
}
TOKENS = ("Ġthe", "▁the", "<0x0A>", "##ing", "##", "Ġ", "<script>", "\x00", "\ud83e", '"', "", "]]>", "-->")
WITHOUT_FIGURES = {"spectra": None, "adjustment": None, "trajectory": ()}


class Page(html.parser.HTMLParser):
    """Parses a page: refuses unbalanced markup and repeated attributes, collects elements with their text.

    Attributes:
      elements: (name, attributes, text within), in the order they open.
    """

    def __init__(self, source: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[tuple[str, dict[str, str | None], list[str]]] = []
        source.encode("utf-8")
        self.feed(source)
        self.close()
        assert not self._open, f"never closed: {[name for name, *_ in self._open]}"

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"<{tag}> repeats an attribute"
        self.elements.append((tag, dict(attrs), []))
        if tag not in {"meta", "input"}:
            self._open.append(self.elements[-1])

    def handle_endtag(self, tag):
        assert self._open and self._open[-1][0] == tag, f"</{tag}> closes {self._open[-1:]}"
        self._open.pop()

    def handle_data(self, text):
        for _, _, inner in self._open:
            inner.append(text)

    def find(self, name: str, **attributes: str) -> list[tuple[dict[str, str | None], str]]:
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}
        return [
            (found, "".join(inner))
            for tag, found, inner in self.elements
            if tag == name and all(found.get(key) == value for key, value in wanted.items())
        ]


def example(text: str, *, spans=(), tokens=TOKENS, **more) -> data.Example:
    key_tokens = tuple(data.KeyToken(token, 9.5 - i, i, i % 2 == 0) for i, token in enumerate(tokens))
    return data.Example(row=3, doc_id="doc-3", text=text, key_tokens=key_tokens, spans=spans, **more)


def store_spectra(f, g=None, *, groups: int = 4) -> StoreSpectra:
    pair = PairMoments.of(f, g)
    backbone = spectrum_of(pair.g) if g is not None else None
    parts = [PairMoments.of(f[i::groups], None if g is None else g[i::groups]) for i in range(groups)]
    errors = replicates.spectrum_errors(parts) if len(f) >= 2 * groups else None
    split = MeanContribution(5.0, np.array([3.0, 1.0]), 1.0, np.array([2.5, 0.0]), len(f))
    return StoreSpectra(
        "out.zarr", "tiny-bert", spectrum_of(pair.f), backbone, compare(pair) if g is not None else None, errors,
        {"embedder": split},
    )  # fmt: skip


def measured() -> dict:
    """What measure_alignment writes of a store, over two texts."""
    found = alignment.measure(np.array([[1, 2, 3], [3, 4, 5]]), alignment.Ragged.of([[1], [9]]), vocab_size=10)
    metrics = plain(dict.fromkeys(("own", "content", "shuffled", "shuffled_content"), found))
    share = {"estimate": 0.25, "low": 0.2, "high": 0.3, "count": 2}
    classes = dict.fromkeys(("content", "stop_word", "punctuation", "piece", "special"), share)
    sweep = [
        {"model": "m", "store": "s", "against": against, "k": at, "hit": hit, "lar": lar, "gar": gar}
        for against in metrics
        for at, (hit, lar, gar) in found.sweep.items()
    ]
    return {"store": "s", "model": "m", "metrics": metrics, "class_shares": classes, "sweep": sweep}


def adjusted() -> dict:
    """What adjust_component writes: the claim holds."""
    rows = []
    for factor, hit in ((0.0, 0.1), (1.0, 0.8)):
        row = {"leading": 1, "factor": factor, "shift": -3 * factor}
        for metric, value in (("hit", hit), ("content_hit", hit), ("lar", hit), ("gar", hit), ("stop_share", 1 - hit)):
            row |= {metric: value, f"{metric}_low": value - 0.05, f"{metric}_high": value + 0.05}
        rows.append(row | {"overlap": None, "overlap_low": None, "overlap_high": None})
    return {"k": 10, "embedder": {"hit": 0.9, "content_hit": 0.85}, "sweep": rows}


def report(**changes) -> data.ReportData:
    """Texts, tokens and losses: everything but figures, each of which takes a tenth of a second."""
    nothing = data.Histogram(np.array([0.0, 1.0]), np.zeros(1, np.int64))
    histograms = dict.fromkeys(("document_frequency", "weights", "text_lengths"), nothing)
    without = {"spectra": None, "alignment": None, "adjustment": None, "trajectory": ()}
    return full_report(**{**histograms, **without, "weight_by_rank": np.zeros(0), **changes})


def full_report(**changes) -> data.ReportData:
    f, g = np.random.default_rng(0).normal(1.0, 1.0, (2, 60, 8))
    values = {
        "title": "Key tokens of docs.jsonl",
        "manifest": {
            "program_version": "0.1.0",
            "identity": {"model": {"name": "tiny-bert", "pooling": "mean", "max_length": 128, "prompt": ""}},
            "corpus_files": [{"label": "docs.jsonl", "sha256": "0f" * 32, "rows": 1400}],
            "counts": {"rows": 1400, "embedded": 1398, "dead_letters": 2, "truncated": 7, "duplicate_ids": 0},
        },
        "examples": (example("a slipstream over the wing", spans=((2, 12, 0), (22, 26, 1))),),
        "top_tokens": (("the", 40), ("##ing", 8)),
        "document_frequency": data.Histogram(2.0 ** np.arange(6), np.array([50, 30, 10, 5, 1])),
        "num_tokens_used": 96,
        "vocab_size": 400,
        "weights": data.Histogram(np.array([-1.0, 0.0, 1.0]), np.array([3, 12])),
        "weight_by_rank": np.array([5.0, 4.0, 3.5]),
        "text_lengths": data.Histogram(np.array([1.0, 10.0, 20.0]), np.array([1000, 398])),
        "hit_rate_at_10": 0.78,
        "dead_letters": (
            {"row": 4, "file": "docs.jsonl", "line": 5, "kind": "empty_text", "reason": "no text", "snippet": "{}"},
        ),
        "dead_letter_counts": {"empty_text": 2},
        "spectra": store_spectra(f, g),
        "alignment": measured(),
        "adjustment": adjusted(),
        "trajectory": ({"step": 0, "variation": [0.0, 0.1]}, {"step": 9, "variation": [-2.0, 0.1]}),
    }
    return data.ReportData(**{**values, **changes})


def empty_report() -> data.ReportData:
    nothing = data.Histogram(np.array([0.0, 1.0]), np.zeros(1, np.int64))
    return data.ReportData(
        title="",
        manifest={},
        examples=(),
        top_tokens=(),
        document_frequency=nothing,
        num_tokens_used=0,
        vocab_size=0,
        weights=nothing,
        weight_by_rank=np.zeros(0),
        text_lengths=nothing,
        hit_rate_at_10=None,
        dead_letters=(),
        dead_letter_counts={},
    )


def assert_self_contained(source: str, parsed: Page):
    for name, attributes, _ in parsed.elements:
        assert name not in {"link", "img", "iframe", "object", "base"}
        for attribute, value in attributes.items():
            assert not attribute.startswith("on")
            assert attribute not in {"src", "srcset", "action", "data", "xlink:href"}
            own_data = value is not None and re.match(r"data:(text/csv|application/json);charset=utf-8;base64,", value)
            assert attribute != "href" or value.startswith("#") or (own_data and attributes.get("download"))
    assert not re.search(
        r"url\((?!#)|@import|https?:(?!//www.w3.org/)", re.sub(r"example\.com\S*|https://example", "", source)
    )
    assert len([1 for name, _, _ in parsed.elements if name == "script"]) <= 1


def other_report(**changes) -> data.ReportData:
    """A model with a backbone, on the texts of `report`."""
    manifest = {"identity": {"model": {"name": "pair <b>"}, "backbone": {"name": "its backbone"}}}
    tokens = ("Ġflow", "Ġwing")
    return full_report(manifest=manifest, examples=(example("a slipstream over the wing", tokens=tokens),), **changes)


@pytest.fixture(scope="module")
def full() -> tuple[data.ReportData, str, Page]:
    """The page of everything, with a model beside its own: drawn once, for its figures take seconds."""
    found = full_report(beside=(other_report(),))
    source = page.render(found)
    return found, source, Page(source)


def test_a_full_report_is_one_balanced_page_that_loads_nothing(full):
    _, source, parsed = full
    assert source.startswith("<!DOCTYPE html>\n<html lang=")
    assert_self_contained(source, parsed)
    [(policy, _)] = parsed.find("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'")
    ids = [attributes["id"] for _, attributes, _ in parsed.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    targets = {attributes["href"][1:] for attributes, _ in parsed.find("a") if attributes["href"].startswith("#")}
    assert targets <= set(ids)
    assert [len(parsed.find(name)) for name in ("html", "head", "body", "main", "h1")] == [1] * 5


def test_the_head_says_what_was_run_and_how_much_came_through():
    parsed = Page(page.render(report(weight_by_rank=np.ones(3))))
    [(_, facts)] = parsed.find("dl", class_="facts")
    for fact in ("tiny-bert", "at most 128 tokens", "docs.jsonl", "3 of 400 vocabulary entries"):
        assert fact in facts
    [(_, tiles)] = parsed.find("dl", class_="tiles")
    for tile in ("1,400", "1,398", "99.9%", "dead letters", "24%", "78%"):
        assert tile in tiles


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_shown_once_as_text(text):
    source = page.render(
        report(
            title=text,
            examples=(example(f"start {text} end", tokens=(*TOKENS, text)),),
            top_tokens=((text, 3),),
            manifest={text: [text, {text: text}], "identity": {"model": {"name": text, "prompt": text}}},
            dead_letters=({"row": 1, "file": text, "line": 2, "kind": text, "reason": text, "snippet": text},),
            dead_letter_counts={text: 1},
        )
    )
    parsed = Page(source)
    assert_self_contained(source, parsed)
    shown = markup.visible(f"start {text} end")
    assert [inner for _, inner in parsed.find("p", class_="text")] == [shown]
    assert sum(shown in inner for name, _, inner in _texts(parsed) if name == "article") == 1
    assert parsed.find("title")[0][1] == markup.visible(text)
    assert not set(source) & {chr(code) for code in range(32) if chr(code) not in "\n\t"}


def _texts(parsed: Page):
    return [(name, attributes, "".join(inner)) for name, attributes, inner in parsed.elements]


def test_every_token_is_spelled_as_its_tokenizer_does():
    halves = (example("x", tokens=TOKENS[:7]), dataclasses.replace(example("y", tokens=TOKENS[7:]), row=4))
    parsed = Page(page.render(report(examples=halves)))
    tokens = [inner for attributes, inner in parsed.find("bdi", class_="token")]
    for token in TOKENS:
        assert markup.visible(token) in tokens


def test_whether_a_token_is_in_the_text_is_said_in_words():
    parsed = Page(page.render(report(examples=(example("x", tokens=("in", "out")),))))
    chips = [(attributes["class"], attributes["title"]) for attributes, _ in parsed.find("li") if "title" in attributes]
    assert chips == [("chip own", "stands in the text"), ("chip", "added by the model")]


def test_a_text_that_is_cut_says_how_much_is_missing():
    parsed = Page(page.render(report(examples=(example("a slip over", num_chars=4011),))))
    assert [inner for _, inner in parsed.find("p", class_="text")] == [
        "a slip over … 4,000 more characters are not shown"
    ]


def test_texts_past_the_first_twenty_wait_for_the_script_and_say_so_on_paper():
    many = tuple(dataclasses.replace(example(f"text {row}"), row=row, truncated=row == 3) for row in range(23))
    source = page.render(report(examples=many))
    parsed = Page(source)
    articles = [attributes for attributes, _ in parsed.find("article")]
    assert [one.get("class") for one in articles] == [None] * 20 + ["beyond-first"] * 3
    assert articles[3]["data-kinds"] == "aligned truncated" and articles[4]["data-kinds"] == "aligned"
    assert parsed.find("p", class_="print-note")[0][1] == "The first 20 of 23."
    [(policy, _)] = parsed.find("meta", **{"http-equiv": "Content-Security-Policy"})
    [(_, code)] = parsed.find("script")
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy["content"], "this script and no other"


def test_findings_hold_or_do_not(full):
    parsed = full[2]
    [(_, found)] = parsed.find("section", id="findings")
    assert "Moving the backbone's first component aligns it with key tokens, as the paper finds" in found
    assert "from 10% to 80%" in found
    assert "The embedding does not say what a text is about" in found, "the control is as good"
    flipped = adjusted()
    flipped["sweep"][0], flipped["sweep"][1] = (
        {**flipped["sweep"][1], "factor": 0.0},
        {**flipped["sweep"][0], "factor": 1.0},
    )
    [(_, found)] = Page(page.render(report(adjustment=flipped))).find("section", id="findings")
    assert "does not align it with key tokens, other than the paper finds" in found


def findings_of(**changes) -> str:
    return Page(page.render(report(**changes))).find("section", id="findings")[0][1]


def test_without_a_control_there_is_no_verdict():
    """A corpus of one text: there is no other whose tokens it could be compared with."""
    alone = {"estimate": 1.0, "low": None, "high": None, "count": 1}
    nothing = {"estimate": None, "low": None, "high": None, "count": 0}
    found = {**measured(), "sweep": None}
    own, control = ({**found["metrics"]["own"], "hit": hit} for hit in (alone, nothing))
    found["metrics"] = {"own": own, "content": own, "shuffled": control, "shuffled_content": control}
    said = findings_of(alignment=found)
    assert "Whether the embedding says what a text is about is not known: 100% of the texts" in said
    assert "no control could be measured" in said and "chance" not in said and "does not say" not in said
    known = {"estimate": 0.1, "low": 0.0, "high": 0.2, "count": 9}
    found["metrics"]["shuffled_content"] = {**control, "hit": known}
    assert "too few texts have content words for an interval" in findings_of(alignment=found)


@pytest.mark.parametrize(
    ("share", "head"),
    [
        (0.19, "Stop words and punctuation are few: 19%"),
        (0.2, "Stop words and punctuation are a part of what it says: 20%"),
        (0.5, "Stop words and punctuation are a part of what it says: 50%"),
        (0.51, "It speaks mostly in stop words and punctuation: 51%"),
    ],
)
def test_stop_words_are_few_only_where_they_are(share, head):
    found = {**measured(), "sweep": None}
    zero = {"estimate": 0.0, "low": 0.0, "high": 0.0, "count": 2}
    classes = {**found["class_shares"], "stop_word": {**zero, "estimate": share}, "punctuation": zero}
    assert head in findings_of(alignment={**found, "class_shares": classes})


@pytest.mark.parametrize(
    ("shift", "error", "head"),
    [
        ([-2.0, 0, 0, 0], 0.5, "Training moved the first component most, as the paper finds"),
        ([-2.0, 0, 0, 0], 1e6, "It is not sure that training moved the first component most"),
        ([0, -2.0, 0, 0], 0.5, "Training did not move the first component most, other than the paper finds"),
        ([-2.0, 0, 0, 0], None, "Whether training moved the first component most is not known"),
        ([-2.0, 0, 0, 0], np.nan, "Whether training moved the first component most is not known"),
        ([0, 0, 0, 0], 0.5, "Training did not move the mean embedding"),
    ],
)
def test_the_first_component_is_judged_by_its_error(shift, error, head):
    g = np.random.default_rng(0).normal(size=(60, 4)) * 0.1 + [3.0, 0, 0, 0]
    errors = error and replicates.SpectrumErrors(5, np.full(4, 0.1), {}, {"comparison.dominance": error})
    said = findings_of(spectra=dataclasses.replace(store_spectra(g + shift, g), errors=errors, contributions={}))
    assert head in said
    assert "effective rank, which is how many directions are in use," in said
    assert "linear CKA with the backbone, 1 for the same geometry and 0 for none in common, " in said


def test_an_adjustment_without_intervals_is_no_verdict():
    found = adjusted()
    found["sweep"] = [{**row, "content_hit_low": None, "content_hit_high": None} for row in found["sweep"]]
    said = findings_of(adjustment=found)
    assert "aligns it with key tokens is not known, for want of texts" in said and "the paper finds" not in said


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("Ġthe", "Ġthe"),
        ("ĠcafÃ©", "Ġcafé"),
        ("æĹ¥", "日"),
        ("âĤ", "âĤ"),  # half of a character
        ("##Ã©", "##é"),
        ("ĊĊ", "ĊĊ"),
        ("ĠĠĠreturn", "ĠĠĠreturn"),
        ("▁▁", "▁▁"),
        ("Ġ", "Ġ"),
        ("café", "café"),
    ],
)
def test_a_token_is_shown_as_people_read_it(token, shown):
    [(*_, said)] = Page(texts.token_text(token)).find("bdi")
    assert said == shown


def test_the_table_of_texts_says_what_the_affixes_mean():
    assert "Ġ or ▁ before a token starts a word, ## continues one." in Page(page.render(report())).find("main")[0][1]


def test_spans_mark_what_they_cover():
    text = "a <b> slip\u00e9stream & a wing"
    spans = ((2, 5, 3), (6, 16, 0), (17, 18, 40), (21, 25, 1))
    parsed = Page(page.render(report(examples=(example(text, spans=spans, tokens=("slip", "wing", "x", "<b>")),))))
    marks = [(inner, attributes) for attributes, inner in parsed.find("mark")][1:]  # The first one is the legend's.
    assert [inner for inner, _ in marks] == [text[start:stop] for start, stop, _ in spans]
    assert [attributes["data-rank"] for _, attributes in marks] == ["4", "1", "41", "2"]
    assert marks[0][1]["title"] == "key token 4: <b>, logit 6.5"
    assert [inner for _, inner in parsed.find("p", class_="text")] == [text]


@pytest.mark.parametrize("spans", [((3, 3, 0),), ((2, 99, 0),), ((0, 4, 0), (3, 6, 1)), ((4, 6, 0), (0, 2, 1))])
def test_spans_that_would_show_text_twice_or_not_at_all_are_refused(spans):
    with pytest.raises(ValueError, match=r"row 3: span .* Sort and merge them"):
        page.render(report(examples=(example("a text of words", spans=spans),)))


@pytest.mark.parametrize(("embedded_chars", "beyond"), [(None, []), (6, [" over"]), (3, [" over"]), (11, [])])
def test_text_that_the_model_did_not_see_is_set_apart(embedded_chars, beyond):
    shown = example("a slip over", spans=((2, 6, 0),), truncated=True, embedded_chars=embedded_chars)
    parsed = Page(page.render(report(examples=(shown,))))
    assert [inner for _, inner in parsed.find("span", class_="beyond")] == beyond
    assert [inner for _, inner in parsed.find("p", class_="text")] == ["a slip over"]
    assert parsed.find("span", class_="badge")


def test_every_chart_has_a_name_and_its_numbers_and_files(full):
    parsed = full[2]
    charts = parsed.find("svg")
    own, beside = 4 + 3 + 5 + 4 + 2, 5 + 4 + 2  # tokens, alignment, spectrum, adjustment, training; the last three
    assert len(charts) == own + beside
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes, _ in charts)
    assert len(parsed.find("figure")) == len(charts)
    assert len(parsed.find("details")) == len(charts) + 1, "and the manifest of the model beside"
    names = [attributes["download"] for attributes, _ in parsed.find("a") if "download" in attributes]
    assert len(set(names)) == len(names) == 2 * (len(charts) + 2), "hubs and dead letters have files, too"
    [(_, frequency)] = [found for found in parsed.find("figure") if "How often" in found[1]]
    for shown in ("8 to 15", "16 to 32", "50", "96 of 400"):
        assert shown in frequency


def test_hubs_say_how_many_texts_were_looked_at():
    parsed = Page(page.render(report(manifest={**report().manifest, "report_sample_rows": 1398})))
    [(_, section)] = parsed.find("section", id="hubs")
    assert "of 1,398 looked at" in section
    assert "40 texts" in section


def test_spectrum_says_its_numbers():
    spectra = full_report().spectra
    parsed = Page(page.render(report(spectra=spectra)))
    [(_, section)] = parsed.find("section", id="spectrum")
    for number in (
        numerals.number(spectra.embedder.effective_rank),
        numerals.number(spectra.backbone.anisotropy),
        numerals.number(spectra.comparison.linear_cka),
        numerals.number(spectra.comparison.variation[0]),
        f"± {spectra.errors.variation[0]:.2g}",
    ):
        assert number in section


def test_nothing_at_all_still_renders():
    source = page.render(empty_report())
    parsed = Page(source)
    assert_self_contained(source, parsed)
    assert not parsed.find("svg")
    assert len(parsed.find("p", class_="empty")) == 11


@pytest.mark.parametrize(
    "changes",
    [
        {"counts": None},
        {"identity": None, "corpus_files": "lost"},
        {"identity": {"model": {"name": "m"}, "backbone": None}, "corpus_files": [{}, "b", {"path": "c"}, {}, {}]},
    ],
)
def test_a_manifest_of_another_shape_still_renders(changes):
    Page(page.render(report(manifest={**report().manifest, **changes})))


@pytest.mark.parametrize("n", [1, 3])
def test_few_texts_or_constant_ones_still_render(n):
    zero = np.zeros((n, 4))
    Page(page.render(report(spectra=store_spectra(zero, zero))))
    parsed = Page(page.render(report(spectra=store_spectra(np.ones((n, 4))), examples=())))
    assert len(parsed.find("svg")) == 3


def test_weights_may_be_negative_missing_or_equal():
    tokens = tuple(data.KeyToken("t", weight, 0, False) for weight in (-1.0, -5.0))
    shown = dataclasses.replace(example("x"), key_tokens=tokens)
    parsed = Page(page.render(report(examples=(shown,), weight_by_rank=np.array([np.nan, -2.0, -2.0]))))
    [(_, section)] = parsed.find("section", id="texts")
    assert "-5.0" in section


def test_a_model_beside_has_a_section_with_figures_of_its_own(full):
    found, _, parsed = full
    names = {attributes["download"] for attributes, _ in parsed.find("a") if "download" in attributes}
    assert {"variation.csv", "beside-1-variation.csv", "beside-1-trajectory_shares.json"} <= names
    [(_, section)] = parsed.find("section", id="beside-1")
    other = found.beside[0].spectra
    for said in (
        "its backbone",
        "The embedding does not say",
        "Training ",
        numerals.number(other.comparison.linear_cka),
    ):
        assert said in section
    assert ("pair <b>", "#beside-1") in [(text, attributes["href"]) for attributes, text in parsed.find("a")]


def test_alignment_of_a_model_beside_stands_in_one_table_with_the_first():
    other = measured()
    other["metrics"] = {**other["metrics"], "own": {**other["metrics"]["own"], "hit_at": 7}}
    other["metrics"]["own"]["hit"] = {"estimate": 0.625, "low": None, "high": None, "count": 2}
    first = {**measured(), "sweep": None}
    found = report(alignment=first, beside=(other_report(**WITHOUT_FIGURES, alignment=other),))
    [(_, section)] = Page(page.render(found)).find("section", id="beside-1")
    assert "tiny-bertpair <b>" in section, "the models head the columns"
    hit = first["metrics"]["own"]["hit"]
    estimate, low, high = (numerals.number(hit[name]) for name in ("estimate", "low", "high"))
    assert f"Hit@10 and Hit@7the text's own tokens{estimate}{low} to {high}0.625Hit@10" in section
    assert "Stop words and punctuation among key tokens50%50%" in section
    lone = report(beside=(other_report(**WITHOUT_FIGURES, alignment=None),))
    assert "neither store holds" in Page(page.render(lone)).find("section", id="beside-1")[0][1]


def test_texts_list_the_key_tokens_of_every_model_that_shows_them(full):
    parsed = full[2]
    assert [name for _, name in parsed.find("p", class_="whose")] == ["tiny-bert", "pair <b>"]
    first, second = (chips for _, chips in parsed.find("ol", class_="chips"))
    assert "flow" not in first and second == "Ġflow9.5Ġwing8.5"
    elsewhere = other_report(**WITHOUT_FIGURES, alignment=None)
    elsewhere = dataclasses.replace(elsewhere, examples=(dataclasses.replace(elsewhere.examples[0], row=4),))
    parsed = Page(page.render(report(beside=(elsewhere,))))
    assert not parsed.find("p", class_="whose") and len(parsed.find("ol", class_="chips")) == 1


def test_models_of_one_name_are_told_apart():
    found = report(beside=(report(), report(), empty_report()))
    headings = [text for attributes, text in Page(page.render(found)).find("h2") if "beside" in attributes["id"]]
    assert headings == ["Beside it: tiny-bert (2)", "Beside it: tiny-bert (3)", "Beside it: unnamed"]


def test_the_page_of_a_wide_model_stays_small():
    found = store_spectra(np.random.default_rng(0).normal(size=(300, 256)), groups=200)
    wide = dataclasses.replace(
        found.embedder,
        **{
            name: np.tile(getattr(found.embedder, name), 16) / 16
            for name in ("explained_variance_ratio", "centred_explained_variance_ratio")
        },
        singular_values=np.repeat(found.embedder.singular_values, 16),
    )
    # Two files of 4,096 rows each, and no more than that.
    assert len(page.render(report(spectra=dataclasses.replace(found, embedder=wide, errors=None)))) < 2_000_000
