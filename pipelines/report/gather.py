"""What the report of a run shows, read from its store and, for the example texts, from its corpus."""

from collections import Counter

import numpy as np

from keytokens.pipelines import align_run, corpus, encoder, plan, reading
from keytokens.pipelines.analysis import spectrum
from keytokens.pipelines.report import data, examples, page, posting_statistics
from keytokens.pipelines.store import files as store_files
from keytokens.pipelines.store import reader

REPORT = "run/report.html"
_KEY_TOKENS = 20
_HUBS = 30
_DEAD_LETTERS = 20


def gather(run: align_run.AlignRun, planned: plan.Plan, *, num_examples: int) -> data.ReportData:
    """The report of a finished run. Statistics of postings are over at most 50,000 rows, spread evenly."""
    store = reader.StoreReader(run.output)
    dead = store.column("dead_letter")
    lengths = store.column("n_tokens")[~dead]
    hits = store.column("hits_at_10")[~dead][lengths > 0]
    postings = posting_statistics.PostingStatistics(store, dead)
    tokens = store.tokens()
    letters = store.dead_letters()
    pair = store.merged_moments()
    embedder = spectrum.spectrum_of(pair.f) if pair.f.count else None
    backbone = spectrum.spectrum_of(pair.g) if pair.f.count and pair.g is not None else None
    return data.ReportData(
        title=f"Key tokens of {', '.join(f.file.label for f in planned.files[:3])}",
        manifest={**store.manifest, "report_sample_rows": postings.num_rows},
        examples=_examples(run, planned, store, np.flatnonzero(~dead), num_examples),
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
        dead_letters=tuple(letters[:_DEAD_LETTERS]),
        dead_letter_counts=dict(Counter(letter["kind"] for letter in letters)),
        embedder_spectrum=embedder,
        backbone_spectrum=backbone,
        comparison=spectrum.compare_spectra(pair, embedder, backbone) if embedder and backbone else None,
    )


def write_report(run: align_run.AlignRun, report: data.ReportData) -> str:
    """Writes the page into the store and returns where it is."""
    files = store_files.StoreFiles(run.output)
    files.write(REPORT, page.render(report).encode())
    return f"{files.url.rstrip('/')}/{REPORT}"


def _examples(
    run: align_run.AlignRun, planned: plan.Plan, store: reader.StoreReader, alive: np.ndarray, wanted: int
) -> tuple[data.Example, ...]:
    """Texts spread evenly over the rows that have key tokens, read again from the corpus."""
    chosen = alive[np.linspace(0, len(alive) - 1, min(wanted, len(alive)), dtype=np.int64)] if len(alive) else alive
    texts: dict[int, corpus.Document] = {}
    for unit in sorted({int(row) // run.dims.unit_rows for row in chosen}):
        wanted_here = {int(row) for row in chosen if row // run.dims.unit_rows == unit}
        for document in reading.read_unit(planned.units[unit]):
            if document.row in wanted_here and isinstance(document, corpus.Document):
                texts[document.row] = document
    embedder = encoder.shared_encoder(run.model, batch_tokens=run.batch_tokens).embedder
    found = []
    for row, tokens in zip(texts, embedder.tokenize([d.text for d in texts.values()]), strict=True):
        indices, values = store.ranked_postings(row, row + 1)
        found.append(
            examples.make_example(
                row=row,
                doc_id=texts[row].doc_id,
                text=texts[row].text,
                tokens=tokens,
                indices=indices[0, :_KEY_TOKENS],
                values=values[0, :_KEY_TOKENS],
                token_strings=embedder.token_strings,
            )
        )
    return tuple(found)
