"""Measures whether texts align with their own tokens: Hit@K, LAR and GAR, with intervals and a shuffled control.

  python -m keytokens.pipelines.measure_alignment --store=out.zarr --output_dir=alignment

reads stores alone, neither model nor corpus. Hit@K: share of texts that contain one of their own K best key tokens.
LAR: mean share of a text's tokens found among as many key tokens. GAR: share of the corpus's tokens found so in some
text. Each is also given for content tokens only (no stop words, punctuation or pieces of them), and against the tokens
of another text, which is what a model that says the same of every text would get. Several stores, separated by commas,
are compared; those of one corpus text by text. --paper_compat counts as the paper's public code does.

Seconds for thousands of texts, minutes for a million; expect Hit@10 near 0.8 of an embedder, 0.1 of the control on
content tokens. Writes alignment.json, alignment.csv and the sweep over K as sweep.csv, sweep.png and sweep.svg.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from absl import flags

from keytokens.pipelines import cli, results, store_alignment, tables
from keytokens.pipelines.analysis.bootstrap import Interval
from keytokens.pipelines.store import analyses, reader
from keytokens.pipelines.store_alignment import CONTENT, OWN, SHUFFLED, SHUFFLED_CONTENT, Difference, StoreAlignment

cli.declare_flags("store", "k", "output_dir")

PAPER_COMPAT = flags.DEFINE_bool(
    "paper_compat",
    False,
    "Count as the paper's public code: special tokens are tokens of the text, repeats lengthen it, no key token past "
    "the K-th counts.",
)
CONTROL_SEED = flags.DEFINE_integer("control_seed", 0, "Of the shuffled control.", lower_bound=0)
DEFAULT_K = 10
_COLUMNS = {OWN: "own tokens", CONTENT: "content only", SHUFFLED: "another text's", SHUFFLED_CONTENT: "its content"}


def to_json(measured: Sequence[StoreAlignment], differences: Sequence[Difference]) -> dict[str, Any]:
    """Everything but the per-text numbers."""
    return {
        "stores": [store_alignment.to_json(one) for one in measured],
        "differences": results.plain(differences),
    }


def rows_of(result: StoreAlignment) -> list[dict[str, Any]]:
    """One row a metric and comparison, for CSV."""
    rows = []
    for against, found in result.metrics.items():
        for metric in ("hit", "lar", "gar"):
            name = f"Hit@{found.hit_at}" if metric == "hit" else metric.upper()
            rows.append({"model": result.model, "store": result.store, "against": against, "metric": name}
                        | dataclasses.asdict(getattr(found, metric)))  # fmt: skip
    return rows


def render(measured: Sequence[StoreAlignment], differences: Sequence[Difference]) -> str:
    """The numbers for people."""
    parts = []
    for result in measured:
        own = result.metrics[OWN]
        how = ", counted as the paper's public code" if result.paper_compat else ""
        lines = [f"{result.model}: {own.num_texts:,} texts{how}  ({result.store})"]
        header = ["", *_COLUMNS.values()]
        body = [
            [f"Hit@{own.hit_at}" if name == "hit" else name.upper(), *(_cell(result, key, name) for key in _COLUMNS)]
            for name in ("hit", "lar", "gar")
        ]
        lines.append(tables.aligned(header, body))
        shares = ", ".join(
            f"{name.replace('_', ' ')} {share.estimate:.1%}" for name, share in result.class_shares.items()
        )
        lines.append(f"the {own.hit_at} best key tokens are: {shares}")
        if own.num_left_out:
            lines.append(f"{own.num_left_out:,} rows without tokens are left out")
        if own.num_incomplete:
            lines.append(f"{own.num_incomplete:,} texts have more tokens than are kept: LAR and GAR are lower bounds")
        parts.append("\n".join(lines))
    for difference in differences:
        parts.append(
            f"{difference.store} minus {difference.against}, text by text: "
            f"Hit@{measured[0].metrics[OWN].hit_at} {_signed(difference.hit)}, LAR {_signed(difference.lar)}"
        )
    return "\n\n".join(parts)


def _cell(result: StoreAlignment, against: str, metric: str) -> str:
    found: Interval = getattr(result.metrics[against], metric)
    return str(found) if found.count else "-"


def _signed(interval: Interval) -> str:
    if not interval.known:
        return str(interval)
    return f"{interval.estimate:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def main(argv: Sequence[str]) -> None:
    """Measures, prints and writes."""
    del argv
    stores = [reader.StoreReader(url) for url in cli.given(cli.STORE).split(",")]
    directory = cli.make_output_dir()
    measured = [
        store_alignment.measure_store(
            store, hit_at=cli.K.value or DEFAULT_K, paper_compat=PAPER_COMPAT.value, seed=CONTROL_SEED.value
        )
        for store in stores
    ]
    differences = store_alignment.compare(measured)
    print(render(measured, differences))
    for store, one in zip(stores, measured, strict=True):
        if not one.paper_compat:
            analyses.write(store.files, "alignment", {**to_json([one], []), "sweep": store_alignment.sweep_rows(one)})
    if directory is not None:
        # Here and not above: matplotlib takes 0.7 s.
        from keytokens.pipelines.figures import alignment as figures
        from keytokens.pipelines.figures import files as figure_files

        results.write(directory / "alignment.json", to_json(measured, differences))
        (directory / "alignment.csv").write_text(tables.csv_text([row for one in measured for row in rows_of(one)]))
        sweep = [row for one in measured for row in store_alignment.sweep_rows(one)]
        (directory / "sweep.csv").write_text(tables.csv_text(sweep))
        figure_files.write(directory / "sweep", figures.sweep(sweep))
        print(f"alignment.json, alignment.csv and the sweep over K: {directory}")


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["store"])


if __name__ == "__main__":
    run()
