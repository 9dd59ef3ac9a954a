"""Results of evaluations as tables for people, in Markdown."""

import math
from typing import Any

from keytokens.pipelines.retrieval import evaluation


def render_evaluation(found: dict[str, Any]) -> str:
    """All systems on one collection: quality, then cost."""
    lines = [
        f"{found['collection']}: {found['documents']:,} documents, {found['queries']} queries; seconds: "
        + ", ".join(f"{name} {seconds:.0f}" for name, seconds in found["seconds"].items()),
        *_remarks(found),
        "",
        "| system | nDCG@10 | of dense | p | R@100 | RR@10 | AP | multiply-adds | B/doc | queries/s "
        "| p50 / p95 / p99 ms | encoding ms |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, system in found["systems"].items():
        cost, test = system["cost"], system["against_dense"]
        lines.append(
            f"| {name} | {system['nDCG@10']:.4f} | {_ratio(test['ratio'])} | {test['p_randomization']:.3f} "
            f"| {system['R@100']:.4f} | {system['RR@10']:.4f} | {system['AP']:.4f} | {cost['multiply_adds']:,.0f} "
            f"| {cost['bytes_per_document']:,.0f} | {cost['queries_per_sec']:,.0f} | {cost['median_msec']:.2f} / "
            f"{cost['p95_msec']:.2f} / {cost['p99_msec']:.2f} | {cost['encoding_msec']:.1f} |"
        )
    lines += [f"left out: {name} ({reason})" for name, reason in found["skipped"].items()]
    return "\n".join(lines)


def render_sweep(found: dict[str, Any]) -> str:
    """Every row of a sweep: ratio to dense, and postings a query, on each collection."""
    names = list(found["references"])
    lines = [
        "| varied | " + " | ".join(f"{name}: nDCG@10, of dense, postings" for name in names) + " | least of dense |",
        "|---|" + "---|" * (len(names) + 1),
    ]
    for reference in ("dense", "bm25"):
        cells = (
            f"{values[reference]['nDCG@10']:.4f}, "
            + _ratio(evaluation.ratio_of(values[reference]["nDCG@10"], values["dense"]["nDCG@10"]))
            for values in found["references"].values()
        )
        lines.append(f"| {reference} | " + " | ".join(cells) + " | |")
    for row in found["rows"]:
        cells = (
            f"{values['nDCG@10']:.4f}, {_ratio(values['ratio'])}, {values['postings']:,.0f}"
            for values in row["collections"].values()
        )
        lines.append(f"| {row['varied']} | " + " | ".join(cells) + f" | {_ratio(row['least_ratio'])} |")
    lines += [f"left out: {name} ({reason})" for name, reason in found["skipped"].items()]
    return "\n".join([*lines, "", found["conclusion"]])


def _remarks(found: dict[str, Any]) -> list[str]:
    """What a reader of the measures must know of the collection."""
    lines = []
    if found["judged_absent"]:
        lines.append(
            f"{found['judged_absent']:,} judged documents are absent from the corpus, or empty: no system finds them."
        )
    if found["queries_in_corpus"]:
        lines.append(f"{found['queries_in_corpus']:,} queries are documents, too, and do not count as their own hits.")
    return lines


def _ratio(value: float) -> str:
    return "—" if math.isnan(value) else f"{value:.3f}"
