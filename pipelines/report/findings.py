"""What was found, in words with their numbers, for a person who has not read the paper."""

import math
from collections.abc import Mapping
from typing import Any

from keytokens.pipelines.report.data import ReportData
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number, percent
from keytokens.pipelines.report.texts import token_text

# A hub stands among the best of at least this share of the texts.
_HUB_SHARE = 0.1
# Stop words and punctuation are few below the first share of the key tokens, and most of them above the second.
_FEW_STOP_WORDS, _MOST_STOP_WORDS = 0.2, 0.5


def findings_section(data: ReportData) -> Html:
    """A list of findings; what was not measured is not mentioned, what has no interval is no verdict."""
    found = [
        *_alignment(data.alignment),
        *_stop_words(data.alignment),
        *_hubs(data),
        *_spectrum(data),
        *_adjustment(data.adjustment),
        *_losses(data),
    ]
    if not found:
        return tag("p", "Nothing to report: no text was embedded.", class_="empty")
    return tag("ul", [tag("li", tag("strong", head), " ", body) for head, body in found], class_="findings")


def _alignment(found: Mapping[str, Any] | None) -> list[tuple[str, Content]]:
    if found is None or not found["metrics"]["own"]["num_texts"]:
        return []
    own, control = found["metrics"]["content"], found["metrics"]["shuffled_content"]
    if not own["num_texts"]:
        return []
    share = f"{percent(own['hit']['estimate'])} of the texts hold one of their own {own['hit_at']} best key tokens"
    share += ", stop words not counted"
    if own["hit"]["low"] is None or control["hit"]["high"] is None:
        why = "no control could be measured, which takes the tokens of other texts"
        why = why if control["hit"]["high"] is None else "too few texts have content words for an interval"
        return [("Whether the embedding says what a text is about is not known:", f"{share}, but {why}.")]
    holds = own["hit"]["low"] > control["hit"]["high"]
    head = "The embedding says what a text is about." if holds else "The embedding does not say what a text is about."
    body = (
        f"{share} (95 % interval {percent(own['hit']['low'])} to {percent(own['hit']['high'])}); of another text's "
        f"tokens it would be {percent(control['hit']['estimate'])}{'.' if holds else ': no more than chance.'}"
    )
    return [(head, body)]


def _stop_words(found: Mapping[str, Any] | None) -> list[tuple[str, Content]]:
    if found is None or found["class_shares"]["stop_word"]["estimate"] is None:
        return []
    share = found["class_shares"]["stop_word"]["estimate"] + found["class_shares"]["punctuation"]["estimate"]
    head = "Stop words and punctuation are a part of what it says:"
    if share < _FEW_STOP_WORDS:
        head = "Stop words and punctuation are few:"
    elif share > _MOST_STOP_WORDS:
        head = "It speaks mostly in stop words and punctuation:"
    return [(head, f"{percent(share)} of the {found['metrics']['own']['hit_at']} best key tokens.")]


def _hubs(data: ReportData) -> list[tuple[str, Content]]:
    looked_at = data.manifest.get("report_sample_rows")
    if not data.top_tokens or not isinstance(looked_at, int) or not looked_at:
        return []
    token, count = data.top_tokens[0]
    share = percent(count / looked_at)
    if count / looked_at >= _HUB_SHARE:
        return [("There are hub tokens:", [token_text(token), f" is among the ten best of {share} of all texts."])]
    return [("No token is a hub:", ["the most frequent, ", token_text(token), f", is among the ten best of {share}."])]


def _spectrum(data: ReportData) -> list[tuple[str, Content]]:
    if data.spectra is None:
        return []
    one = data.spectra.embedder
    many = one.effective_rank > 0.3 * len(one.singular_values)
    found: list[tuple[str, Content]] = [
        (
            "The embeddings spread over many directions:" if many else "The embeddings live in few directions:",
            f"effective rank, which is how many directions are in use, {number(one.effective_rank)} of "
            f"{number(len(one.singular_values))}, mean cosine of two texts {number(one.anisotropy)}.",
        )
    ]
    compared = data.spectra.comparison
    if compared is None:
        return found
    errors = data.spectra.errors
    error = ""
    if errors is not None and errors.variation is not None:
        error = f" ± {errors.variation[0]:.2g} (a standard error)"
    body = (
        f"v₁ = {number(compared.variation[0])}{error}, {number(compared.dominance)} times the largest other; linear "
        "CKA with the backbone, 1 for the same geometry and 0 for none in common, "
        f"{number(compared.linear_cka)}."
    )
    return [*found, (_moved(compared.dominance, data.spectra.dominance_margin), body)]


def _moved(dominance: float, margin: float) -> str:
    """What can be said of the first component; the margin is nan where none could be measured."""
    if math.isnan(dominance):
        return "Training did not move the mean embedding:"
    if not math.isfinite(margin):
        return "Whether training moved the first component most is not known, since it was measured without an error:"
    if dominance - margin > 1:
        return "Training moved the first component most, as the paper finds:"
    if dominance > 1:
        return "It is not sure that training moved the first component most, as the paper finds:"
    return "Training did not move the first component most, other than the paper finds:"


def _adjustment(found: Mapping[str, Any] | None) -> list[tuple[str, Content]]:
    if found is None:
        return []
    by_factor = {row["factor"]: row for row in found["sweep"] if row["leading"] == 1}
    if 0.0 not in by_factor or 1.0 not in by_factor:
        return []
    before, after = by_factor[0.0], by_factor[1.0]
    if before["content_hit"] is None or after["content_hit"] is None:
        return []
    head = "Moving the backbone's first component does not align it with key tokens, other than the paper finds:"
    if before["content_hit_high"] is None or after["content_hit_low"] is None:
        head = (
            "Whether moving the backbone's first component aligns it with key tokens is not known, for want of texts:"
        )
    elif after["content_hit_low"] > before["content_hit_high"]:
        head = "Moving the backbone's first component aligns it with key tokens, as the paper finds:"
    body = (
        f"content Hit@{found['k']} goes from {percent(before['content_hit'])} to {percent(after['content_hit'])}, stop "
        f"words and punctuation from {percent(before['stop_share'])} to {percent(after['stop_share'])} of what it says."
    )
    return [(head, body)]


def _losses(data: ReportData) -> list[tuple[str, Content]]:
    counts = data.manifest.get("counts") or {}
    rows, dead, cut = (counts.get(name) for name in ("rows", "dead_letters", "truncated"))
    if not isinstance(rows, int) or not rows:
        return []
    found: list[tuple[str, Content]] = []
    if dead:
        found.append(
            ("Some texts could not be embedded:", f"{number(dead)} of {number(rows)}, listed below with reasons.")
        )
    if cut:
        body = f"{number(cut)} of {number(rows)} ({percent(cut / rows)}), whose ends say nothing here."
        found.append(("Some texts are longer than the model reads:", body))
    if not dead and not cut:
        found.append(("Nothing was lost:", f"all {number(rows)} texts were embedded whole."))
    return found
