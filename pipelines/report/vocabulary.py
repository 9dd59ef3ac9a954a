"""Which tokens does the model speak in, over the whole corpus: hubs, histograms, weights by rank."""

import numpy as np

from keytokens.pipelines.figures import histograms
from keytokens.pipelines.report import downloads
from keytokens.pipelines.report.data import ReportData
from keytokens.pipelines.report.figures import drawn, histogram_figure, nothing, table
from keytokens.pipelines.report.markup import Content, Html, tag
from keytokens.pipelines.report.numerals import number, percent
from keytokens.pipelines.report.texts import token_text


def hubs_section(data: ReportData) -> Content:
    """The most frequent key tokens, each with a bar against the most frequent one."""
    if not data.top_tokens:
        return tag("p", "No text has key tokens.", class_="empty")
    most = max(count for _, count in data.top_tokens) or 1
    items = [
        tag(
            "li",
            tag("span", str(place), class_="rank", aria_hidden="true"),
            token_text(token),
            tag("span", tag("span", style=f"width:{100 * count / most:.1f}%"), class_="bar-track", aria_hidden="true"),
            tag("span", number(count), tag("span", " texts", class_="unseen"), class_="weight"),
        )
        for place, (token, count) in enumerate(data.top_tokens, start=1)
    ]
    looked_at = data.manifest.get("report_sample_rows")
    return [
        tag(
            "p",
            "In how many texts",
            f", of {number(looked_at)} looked at," if isinstance(looked_at, int) else None,
            " a token is among the ten best key tokens. A token that stands in many says little about any one of "
            "them: a few are expected, one in half of all texts is a sign that the embeddings share a direction.",
        ),
        tag("ol", items, class_="tokens hubs"),
        downloads.links(
            "hubs", [{"token": token, "texts": count} for token, count in data.top_tokens], title="Hub tokens"
        ),
    ]


def histograms_section(data: ReportData) -> Html:
    """How often tokens are key tokens, how strong they are, by rank too, and how long the texts are."""
    used = f"{number(data.num_tokens_used)} of {number(data.vocab_size)} vocabulary entries"
    share = f" ({percent(data.num_tokens_used / data.vocab_size)})" if data.vocab_size else ""
    return tag(
        "div",
        histogram_figure(
            data.document_frequency,
            key="document_frequency",
            heading="How often a token is a key token",
            caption=f"{used}{share} are a key token of some text. A long right tail holds the hubs.",
            value_label="texts that have it as a key token",
            count_label="tokens",
            integers=True,
        ),
        histogram_figure(
            data.weights,
            key="weights",
            heading="Weights",
            caption="Logits of all key tokens of all texts, as stored.",
            value_label="logit",
            count_label="key tokens",
        ),
        _weight_by_rank(data.weight_by_rank),
        histogram_figure(
            data.text_lengths,
            key="text_lengths",
            heading="Lengths",
            caption="Tokens the model read of each text, prompt and special tokens excluded.",
            value_label="tokens in the text",
            count_label="texts",
            integers=True,
        ),
        class_="figures",
    )


def _weight_by_rank(weights: np.ndarray) -> Html:
    heading = "Weight by rank"
    weights = np.asarray(weights, np.float64)
    if not np.isfinite(weights).any():
        return nothing(heading, "no text has key tokens.")
    chosen = np.unique(np.geomspace(1, len(weights), 24).round().astype(np.int64)) - 1
    shown = [(number(j + 1), number(weights[j])) for j in chosen.tolist()]
    return drawn(
        histograms.weight_by_rank(weights),
        "weight_by_rank",
        caption="Where the line flattens, a larger k adds little but noise.",
        rows=[{"rank": j, "mean_logit": weight} for j, weight in enumerate(weights.tolist(), start=1)],
        shown=table(("rank", "mean logit"), shown, caption="Mean logit by rank"),
    )
