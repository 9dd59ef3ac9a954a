"""What was found, in words with their numbers, for a person who has not read the paper."""

from collections.abc import Mapping
from typing import Any

from keytokens.pipelines.report.data import ReportData
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number, percent
from keytokens.pipelines.report.texts import token_text

# A hub stands among the best of at least this share of the texts.
_HUB_SHARE = 0.1


def findings_section(data: ReportData) -> Html:
    """A list of findings; what was not measured is not mentioned."""
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
    k = own["hit_at"]
    if not own["num_texts"] or own["hit"]["low"] is None:
        return []
    holds = control["hit"]["high"] is not None and own["hit"]["low"] > control["hit"]["high"]
    head = "The embedding says what a text is about." if holds else "The embedding does not say what a text is about."
    body = (
        f"{percent(own['hit']['estimate'])} of the texts hold one of their own {k} best key tokens, stop words not "
        f"counted (95 % interval {percent(own['hit']['low'])} to {percent(own['hit']['high'])})"
    )
    if control["hit"]["estimate"] is not None:
        body += f"; of another text's tokens it would be {percent(control['hit']['estimate'])}"
    body += "." if holds else ": no more than chance."
    return [(head, body)]


def _stop_words(found: Mapping[str, Any] | None) -> list[tuple[str, Content]]:
    if found is None or found["class_shares"]["stop_word"]["estimate"] is None:
        return []
    share = found["class_shares"]["stop_word"]["estimate"] + found["class_shares"]["punctuation"]["estimate"]
    k = found["metrics"]["own"]["hit_at"]
    if share > 0.5:
        return [("It speaks mostly in stop words and punctuation:", f"{percent(share)} of the {k} best key tokens.")]
    return [("Stop words and punctuation are few:", f"{percent(share)} of the {k} best key tokens.")]


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
    found: list[tuple[str, Content]] = [
        (
            "The embeddings spread over many directions:" if one.effective_rank > 0.3 * len(one.singular_values)
            else "The embeddings live in few directions:",
            f"effective rank {number(one.effective_rank)} of {number(len(one.singular_values))}, mean cosine of two "
            f"texts {number(one.anisotropy)}.",
        )
    ]  # fmt: skip
    compared = data.spectra.comparison
    if compared is not None:
        errors = data.spectra.errors
        error = f" ± {errors.variation[0]:.2g}" if errors is not None and errors.variation is not None else ""
        head = (
            "Training moved the first component most, as the paper finds:"
            if compared.dominance > 1
            else "Training did not move the first component most, other than the paper finds:"
        )
        body = (
            f"v₁ = {number(compared.variation[0])}{error}, {number(compared.dominance)} times the largest other; "
            f"linear CKA with the backbone {number(compared.linear_cka)}."
        )
        found.append((head, body))
    return found


def _adjustment(found: Mapping[str, Any] | None) -> list[tuple[str, Content]]:
    if found is None:
        return []
    by_factor = {row["factor"]: row for row in found["sweep"] if row["leading"] == 1}
    if 0.0 not in by_factor or 1.0 not in by_factor:
        return []
    before, after = by_factor[0.0], by_factor[1.0]
    holds = after["content_hit_low"] is not None and after["content_hit_low"] > (before["content_hit_high"] or 0.0)
    head = (
        "Moving the backbone's first component aligns it with key tokens, as the paper finds:"
        if holds
        else "Moving the backbone's first component does not align it with key tokens, other than the paper finds:"
    )
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
