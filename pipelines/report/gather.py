"""What the report of a run shows: kept in its store when the run ends, read from it whenever a report is written."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keytokens import models
from keytokens.models import tokenizing
from keytokens.pipelines import align_output, align_run, corpus, plan, reading, results, spectral, store_alignment
from keytokens.pipelines.analysis.contribution import MeanContribution
from keytokens.pipelines.report import data, posting_statistics, saved_texts
from keytokens.pipelines.store import analyses, reader, run_state

REPORT = align_output.REPORT
_HUBS = 30
_DEAD_LETTERS = 20
# Reading a text again means reading its unit: this many units are read, evenly spread.
_UNITS = 20
# Above this hidden size, errors cost minutes: a report then has those that compare_spectra has kept.
_ERRORS_UP_TO = 1024
_ERROR_GROUPS = 10


def keep_texts(run: align_run.AlignRun, planned: plan.Plan, *, num_texts: int) -> None:
    """Reads texts again from the corpus, spread evenly, and keeps them in the store for its reports.

    Their tokens are the tokenizer's; no weights are read.
    """
    store = reader.StoreReader(run.output)
    rows = _chosen_rows(store.column("dead_letter"), run.dims.unit_rows, num_texts)
    found: dict[int, corpus.Document] = {}
    for unit in sorted({row // run.dims.unit_rows for row in rows}):
        for document in reading.read_unit(planned.units[unit]):
            if document.row in rows and isinstance(document, corpus.Document):
                found[document.row] = document
    tokens = _tokenized(run, [document.text for document in found.values()])
    kept = [
        saved_texts.of_tokens(document.row, document.doc_id, document.text, one)
        for document, one in zip(found.values(), tokens, strict=True)
    ]
    saved_texts.write(store.files, kept)


def _tokenized(run: align_run.AlignRun, texts: list[str]) -> list[models.Tokens]:
    if not texts:
        return []
    tokenizer = tokenizing.read_tokenizer(run.model.tokenizer_directory)
    return tokenizing.TextTokenizer(tokenizer, run.model.recipe)(texts)


def gather(store: reader.StoreReader) -> data.ReportData:
    """The report of a finished store, from the store alone. Statistics of postings are over at most 50,000 rows."""
    dead = store.column("dead_letter")
    lengths = store.column("n_tokens")[~dead]
    hits = store.column("hits_at_10")[~dead][lengths > 0]
    postings = posting_statistics.PostingStatistics(store, dead)
    tokens = store.tokens()
    letters = run_state.summarize_dead_letters(store.files, _DEAD_LETTERS)
    labels = [file["label"] for file in store.manifest["corpus_files"][:3]]
    return data.ReportData(
        title=f"Key tokens of {', '.join(labels)}",
        manifest={**store.manifest, "report_sample_rows": postings.num_rows},
        examples=saved_texts.read(store),
        top_tokens=tuple((tokens[token], count) for token, count in postings.hubs.most_common(_HUBS)),
        document_frequency=posting_statistics.log_histogram(
            postings.document_frequency[postings.document_frequency > 0]
        ),
        num_tokens_used=int((postings.document_frequency > 0).sum()),
        vocab_size=store.dims.vocab_size,
        weights=postings.weights,
        weight_by_rank=postings.weight_by_rank,
        text_lengths=posting_statistics.histogram(lengths),
        hit_rate_at_10=float((hits > 0).mean()) if len(hits) else None,
        dead_letters=tuple(letters.first),
        dead_letter_counts=letters.kinds,
        spectra=_spectra(store, len(lengths)),
        alignment=_alignment(store),
        adjustment=analyses.read(store.files, "adjustment"),
        trajectory=analyses.read(store.files, "trajectory") or (),
    )


def gather_beside(store: reader.StoreReader, others: Sequence[reader.StoreReader]) -> data.ReportData:
    """The report of a store, with other models' stores of the same corpus beside it.

    Raises:
      ValueError: a store of another corpus.
    """
    corpora = [one.manifest["identity"]["corpus_sha256"] for one in (store, *others)]
    for other, digest in zip(others, corpora[1:], strict=True):
        if digest != corpora[0]:
            raise ValueError(
                f"{other.files.url} is not of the corpus of {store.files.url}: SHA-256 {digest[:12]}… and "
                f"{corpora[0][:12]}…. A page sets models side by side on the same texts, row by row. Run align_corpus "
                "with the same --corpus for both, or write a report of each."
            )
    return dataclasses.replace(gather(store), beside=tuple(gather(other) for other in others))


def write_report(store: reader.StoreReader, report: data.ReportData) -> str:
    """Writes the page into the store and returns where it is."""
    from keytokens.pipelines.report import page  # here: its figures need matplotlib, which takes 0.7 s

    store.files.write(REPORT, page.render(report).encode())
    return f"{store.files.url.rstrip('/')}/{REPORT}"


def _chosen_rows(dead: np.ndarray, unit_rows: int, wanted: int) -> set[int]:
    """Up to `wanted` of the rows that have key tokens, bool [N] of the others given, over up to 20 units, evenly."""
    starts = range(0, len(dead), unit_rows)
    units = [unit for unit, start in enumerate(starts) if not dead[start : start + unit_rows].all()]
    if not units or not wanted:
        return set()
    units = [units[place] for place in _spread(len(units), min(_UNITS, wanted))]
    chosen: set[int] = set()
    for number, unit in enumerate(units):
        start = unit * unit_rows
        members = start + np.flatnonzero(~dead[start : start + unit_rows])
        share = math.ceil((wanted - len(chosen)) / (len(units) - number))
        chosen |= set(members[_spread(len(members), share)].tolist())
    return chosen


def _spread(count: int, wanted: int) -> np.ndarray:
    """At most `wanted` distinct places below count, evenly spread, the first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted), dtype=np.int64))


def _alignment(store: reader.StoreReader) -> dict[str, Any] | None:
    kept = analyses.read(store.files, "alignment")
    if kept is not None:
        return {**kept["stores"][0], "sweep": kept["sweep"]}
    if not store.dims.has_text_tokens:
        return None
    measured = store_alignment.measure_store(store, hit_at=min(10, store.dims.k))
    return {**results.plain(store_alignment.to_json(measured)), "sweep": store_alignment.sweep_rows(measured)}


def _spectra(store: reader.StoreReader, num_texts: int) -> spectral.StoreSpectra | None:
    if not num_texts:
        return None
    small = store.dims.hidden_size <= _ERRORS_UP_TO
    found = spectral.spectra_of(store, num_groups=_ERROR_GROUPS if small else 0)
    kept = analyses.read(store.files, "spectra")
    if kept is not None:
        for model, split in kept["contributions"].items():
            arrays = {name: np.array(split[name]) for name in ("by_component", "baseline")}
            found.contributions[model] = MeanContribution(**{**split, **arrays})
    return found
