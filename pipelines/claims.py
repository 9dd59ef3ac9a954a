"""The claims of "A Text is Worth Several Tokens" (arXiv 2406.17378), each with our figure for one model and a verdict.

A claim that does not hold for a model is shown as not holding; one that could not be measured says why.
"""

import copy
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keytokens.pipelines import encoder
from keytokens.pipelines.analysis import adjustment, bootstrap, overlap
from keytokens.pipelines.explain import instruction, scored_pairs
from keytokens.pipelines.spectral import StoreSpectra
from keytokens.pipelines.store_alignment import CONTENT, SHUFFLED_CONTENT, StoreAlignment

INSTRUCTIONS = ("What is the topic of this text?", "Which feeling does this text express?")
# Words that ask for nothing, of about the same length: what any words before a text change.
UNRELATED = ("There were seven boats at the pier.", "He had left the window open all night.")
HOLDS, FAILS, UNMEASURED = "holds", "does not hold", "not measured"
# What the scores of a set of pairs can be of.
KINDS = ("similarity", "relatedness")
_TOO_FEW = "too few texts for an interval"


@dataclasses.dataclass(frozen=True)
class Claim:
    """One line of the table.

    Attributes:
      claim: of the paper, in a sentence.
      figure: ours, with its 95 % interval; of one that could not be measured the reason, too.
      verdict: one of HOLDS, FAILS, UNMEASURED.
      command: that gives the figure.
    """

    claim: str
    figure: str
    verdict: str
    command: str


def alignment_claims(measured: StoreAlignment) -> list[Claim]:
    """That texts align with their own tokens, and not with those of other texts."""
    own, control = measured.metrics[CONTENT].hit, measured.metrics[SHUFFLED_CONTENT].hit
    command = "measure_alignment --store=STORE"
    k = measured.metrics[CONTENT].hit_at
    why = "" if own.known else _TOO_FEW
    if not control.known:
        why = "no control could be measured: it takes the tokens of other texts"
    return [
        _judged(
            "A text's embedding aligns with the text's own tokens",
            f"content Hit@{k} {own}, LAR {measured.metrics[CONTENT].lar}",
            own.low > control.high,
            command,
            unmeasured=why,
        ),
        _judged(
            "and not with any text's: shuffled control",
            f"content Hit@{k} {control}",
            control.high < own.low / 2,
            command,
            unmeasured=why,
        ),
    ]


def spectrum_claim(found: StoreSpectra) -> Claim:
    """That training moved the first component most."""
    claim, command = "Training moves the first principal component most", "compare_spectra --store=STORE"
    if found.comparison is None:
        return Claim(claim, "the backbone's weights are not at hand", UNMEASURED, command)
    c, e = found.comparison, found.errors
    if math.isnan(c.dominance):
        return Claim(claim, "nothing moved: embedder and backbone have the same mean", UNMEASURED, command)
    if e is None or e.variation is None:
        size = f"|v_1| is {c.dominance:.2f} times the next" if math.isfinite(c.dominance) else "nothing but v_1 moved"
        figure = f"{size}; v_1 = {c.variation[0]:.2f}"
        why = "no error, which takes two work units: the corpus is too small"
        return Claim(claim, f"{figure}; {why}", UNMEASURED, command)
    # Normal intervals of 95 % from the jackknife's standard errors.
    half, first = found.dominance_margin, 1.96 * e.variation[0]
    figure = f"|v_1| is {c.dominance:.2f} ± {half:.2f} times the next; v_1 = {c.variation[0]:.2f} ± {first:.2g} (95 %)"
    why = "" if math.isfinite(half) else "no error: some texts leave v_1 alone, with no next to compare it with"
    return _judged(claim, figure, c.dominance - half > 1, command, unmeasured=why)


def adjustment_claim(curve: Sequence[adjustment.CurvePoint] | None) -> Claim:
    """That the backbone aligns once its first component is moved to the embedder's."""
    claim, command = "Moving that component aligns the backbone with key tokens", "adjust_component --store=STORE"
    if curve is None:
        return Claim(claim, "the backbone's weights are not at hand", UNMEASURED, command)
    by_factor = {point.factor: point for point in curve if point.leading == 1}
    before, after = by_factor[0.0], by_factor[1.0]
    figure = (
        f"content Hit@{before.own.hit_at} of the backbone {before.content.hit} to {after.content.hit}; stop words "
        f"{before.stop_share.estimate:.0%} to {after.stop_share.estimate:.0%}"
    )
    known = before.content.hit.known and after.content.hit.known
    holds = after.content.hit.low > before.content.hit.high
    return _judged(claim, figure, holds, command, unmeasured="" if known else _TOO_FEW)


def instruction_claim(loaded: encoder.Encoder, texts: Sequence[str], *, k: int = 10) -> Claim:
    """That an instruction changes the key tokens, more than other words before the text do."""
    base = loaded.align(loaded.embed(texts).hidden, k).indices

    def kept(before: str) -> np.ndarray:
        variant = copy.copy(loaded)
        recipe = instruction.instructed(loaded.embedder.config.recipe, before)
        variant.embedder = loaded.embedder.with_recipe(recipe)
        return overlap.jaccard(base, variant.align(variant.embed(texts).hidden, k).indices)

    with_instruction = np.mean([kept(one) for one in INSTRUCTIONS], axis=0)
    with_others = np.mean([kept(one) for one in UNRELATED], axis=0)
    difference = bootstrap.mean_interval(with_others - with_instruction)
    figure = (
        f"Jaccard@{k} with no instruction {bootstrap.mean_interval(with_instruction)}; after unrelated words "
        f"{bootstrap.mean_interval(with_others)}"
    )
    if not loaded.embedder.config.recipe.instruction:
        figure += "; it was not trained on instructions"
    return _judged(
        "An instruction changes the key tokens (more than other words before the text do)",
        figure,
        difference.low > 0,
        "explain_instruction --model=MODEL --text=TEXT --instruction=INSTRUCTION",
        unmeasured="" if difference.known else _TOO_FEW,
    )


def check_kinds(kinds: Sequence[str], num_sets: int) -> None:
    """Refuses what --kinds cannot say of so many sets.

    Raises:
      ValueError: an unknown kind, or not as many as sets.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise ValueError(
            f"--kinds={','.join(kinds)}: {', '.join(unknown)} is no kind of score, and would stand in the table as "
            f"one. Each must be {' or '.join(KINDS)}."
        )
    if kinds and len(kinds) != num_sets:
        raise ValueError(
            f"--kinds={','.join(kinds)} names {len(kinds)} sets; {num_sets} are given, so that it is not known which "
            "is of which kind. Name one for each --scored_pairs, in their order, or none."
        )


def overlap_claims(agreements: Sequence[scored_pairs.GoldAgreement], kinds: Sequence[str]) -> list[Claim]:
    """That overlap of key tokens ranks pairs as people do; kinds: of KINDS, one a set, or none at all."""
    command = "explain_pair --model=MODEL --scored_pairs=FILE"
    if not agreements:
        claim = "Overlap of key tokens tracks relatedness and similarity"
        return [Claim(claim, "no scored pairs were given", UNMEASURED, command)]
    return [
        _judged(
            f"Overlap of key tokens tracks {kind}: {one.name}",
            f"Spearman {one.weighted_overlap} (cosine {one.cosine.estimate:.3f})",
            one.weighted_overlap.low > 0,
            command,
            unmeasured="" if one.weighted_overlap.known else "all pairs have the same overlap or the same score",
        )
        for one, kind in zip(agreements, kinds or ["people"] * len(agreements), strict=True)
    ]


def _judged(claim: str, figure: str, holds: bool, command: str, *, unmeasured: str) -> Claim:
    """A verdict where the figure has an interval; else the reason why there is none, which is none of either."""
    if unmeasured:
        return Claim(claim, f"{figure}; {unmeasured}", UNMEASURED, command)
    return Claim(claim, figure, HOLDS if holds else FAILS, command)


def markdown(claims: Sequence[Claim], model: str) -> str:
    """The table as Markdown."""
    lines = [f"| claim of the paper | {model} | verdict | command |", "|---|---|---|---|"]
    for one in claims:
        figure = one.figure.replace("|", "\\|")
        lines.append(f"| {one.claim} | {figure} | {one.verdict} | `{one.command}` |")
    return "\n".join(lines) + "\n"


def to_json(claims: Sequence[Claim], **context: Any) -> dict[str, Any]:
    """The table with what it was measured on."""
    return {**context, "claims": [dataclasses.asdict(one) for one in claims]}
