"""Moves a backbone's first component to where the embedder has it, and asks what the backbone says then.

  python -m keytokens.pipelines.adjust_component --store=out.zarr --output_dir=adjusted --output=adjusted.zarr

needs a store of align_corpus --backbone=NAME --save_embeddings. Sweeps the shift, t times v_1 for every t of --sweep,
for the first component and for the first few, over all texts in one pass that applies the LM head once: Hit@K, LAR,
GAR, the same on content tokens, the share of stop words and what is shared with the embedder, as curves. --text shows
the aligned tokens of a text at every shift. --output writes the backbone at --shift as a store of its own, for every
other program. The paper's finding: a backbone that says stop words says key tokens once its first component is at v_1.

A minute for thousands of texts; writes adjustment.json, sweep.csv and the curves as PNG and SVG.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from keytokens.pipelines import adjusting, cli, encoder, results, store_alignment, store_model, tables
from keytokens.pipelines.analysis import adjustment
from keytokens.pipelines.report import terminal
from keytokens.pipelines.store import analyses, reader

cli.declare_flags("store", "backbone_path", "text", "output", "output_dir", "k", "compilation_cache")

SHIFT = flags.DEFINE_string(
    "shift", "auto", "lambda_1 of the store that --output writes, in the unit of h; auto is v_1, where the embedder is."
)
LEADING = flags.DEFINE_list("leading", ["1", "2", "5", "10"], "Numbers of leading components that the sweep moves.")
SWEEP = flags.DEFINE_list("sweep", [f"{factor:g}" for factor in adjustment.FACTORS], "Shifts, in units of v_j.")
NUM_COMPONENTS = flags.DEFINE_integer(
    "num_components", 1, "Leading components that --output moves; above 1 each by its own v_j.", lower_bound=1
)
DEFAULT_K = 10


def numbers(flag: flags.FlagHolder, kind: type) -> list[Any]:
    """The values of a list flag.

    Raises:
      ValueError: one of them is no finite number, or there is none.
    """
    given = f"--{flag.name}={','.join(flag.value)}"
    try:
        values = [kind(value) for value in flag.value]
    except ValueError as error:
        raise ValueError(f"{given} must be numbers, separated by commas: {error}.") from error
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(
            f"{given} must be finite numbers, one at least: no embedding can be moved by anything else. Leave the flag "
            "out for its default."
        )
    return values


def shift_from_flags() -> float | None:
    """What --shift says; None for v_1, where the embedder is.

    Raises:
      ValueError: a shift that is no finite number, or one for several components.
    """
    if SHIFT.value == "auto":
        return None
    try:
        value = float(SHIFT.value)
    except ValueError as error:
        raise ValueError(f"--shift={SHIFT.value} is neither a number nor auto.") from error
    if not math.isfinite(value):
        raise ValueError(
            f"--shift={SHIFT.value} must be a finite number, or auto for v_1: every embedding of the store would be "
            "moved to where no logit is a number."
        )
    if NUM_COMPONENTS.value > 1:
        raise ValueError(
            f"--shift={SHIFT.value} is one number, and --num_components={NUM_COMPONENTS.value} are to be moved; each "
            "goes by its own v_j with --shift=auto."
        )
    return value


def chosen_point(variation: np.ndarray, *, shift: float | None, num_components: int) -> adjustment.Point:
    """The shift that is written: of v_1 and, for several components, v_j each, where none is given."""
    if shift is None:
        return adjustment.sweep_points(variation, leading=[num_components], factors=[1.0])[0]
    factor = shift / variation[0] if variation[0] else math.nan
    return adjustment.Point(1, float(factor), np.array([shift]))


def rows_of(curve: Sequence[adjustment.CurvePoint]) -> list[dict[str, Any]]:
    """One row a shift, for CSV and figures."""
    rows = []
    for point in curve:
        row: dict[str, Any] = {"leading": point.leading, "factor": point.factor, "shift": point.shift}
        for name, interval in {
            "hit": point.own.hit,
            "content_hit": point.content.hit,
            "lar": point.own.lar,
            "gar": point.own.gar,
            "stop_share": point.stop_share,
            "overlap": point.overlap,
        }.items():
            row[name] = interval and interval.estimate
            row[f"{name}_low"], row[f"{name}_high"] = (interval and interval.low, interval and interval.high)
        rows.append(row)
    return results.plain(rows)


def explain_texts(
    loaded: encoder.Encoder, texts: Sequence[str], directions: adjusting.Directions, factors: Sequence[float], k: int
) -> list[dict[str, Any]]:
    """The aligned tokens of each text at every shift of the first component."""
    embedded = loaded.embed(texts)
    points = adjustment.sweep_points(directions.variation, leading=[1], factors=factors)
    coefficients = np.stack([point.coefficients for point in points])
    aligned = adjusting.decode(loaded, embedded.hidden, directions.components[:1], coefficients, k)
    strings = loaded.embedder.token_strings
    return [
        {
            "text": text,
            "shifts": [
                {
                    "factor": point.factor,
                    "shift": point.shift,
                    "tokens": [strings[token] for token in aligned.indices[row, at].tolist()],
                    "logits": aligned.values[row, at].tolist(),
                }
                for at, point in enumerate(points)
            ],
        }
        for row, text in enumerate(texts)
    ]


def render(
    rows: Sequence[dict[str, Any]], texts: Sequence[dict[str, Any]], embedder: dict[str, float], *, hit_at: int
) -> str:
    """The curves and the texts for people."""
    columns = ("hit", "content_hit", "lar", "gar", "stop_share", "overlap")
    hits = (f"Hit@{hit_at}", f"content Hit@{hit_at}")
    header = ["components", "times v", "lambda_1", *hits, "LAR", "GAR", "stop words", "as embedder"]

    def cell(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    body = [
        [str(row["leading"]), f"{row['factor']:g}", f"{row['shift'] + 0.0:.2f}", *(cell(row[name]) for name in columns)]
        for row in rows
    ]
    body.append(["embedder", "", "", *(cell(embedder.get(name)) for name in columns)])
    parts = [tables.aligned(header, body)]
    for text in texts:
        lines = [[f"{at['factor']:g} v_1", " ".join(map(terminal.token_name, at["tokens"]))] for at in text["shifts"]]
        parts.append(f"{text['text']}\n{tables.aligned(['shift', 'aligned tokens'], lines, left=2)}")
    return terminal.printable("\n\n".join(parts))


def main(argv: Sequence[str]) -> None:
    """Sweeps, prints, writes."""
    del argv
    factors, leading, hit_at = numbers(SWEEP, float), numbers(LEADING, int), cli.K.value or DEFAULT_K
    shift = shift_from_flags()
    store = reader.StoreReader(cli.given(cli.STORE))
    store.embeddings(0, 0, backbone=True)  # refused before any work
    directions = adjusting.directions_of(store)
    points = adjustment.sweep_points(directions.variation, leading=leading, factors=factors)
    chosen = chosen_point(directions.variation, shift=shift, num_components=NUM_COMPONENTS.value)
    directory = cli.make_output_dir()
    measured = store_alignment.measure_store(store, hit_at=hit_at)
    config = store_model.config_of(store, name=cli.BACKBONE_PATH.value, backbone=True)
    loaded = encoder.shared_encoder(config)
    output = cli.OUTPUT.value
    curve = adjusting.adjust_store(
        store, loaded, points, hit_at=hit_at, chosen=chosen if output else None, output=output
    )
    rows = rows_of(curve)
    embedder = reference(measured)
    texts = explain_texts(loaded, cli.TEXT.value, directions, factors, hit_at) if cli.TEXT.value else []
    print(render(rows, texts, embedder, hit_at=hit_at))
    found = {
        "store": store.files.url,
        "backbone": config.name,
        "k": hit_at,
        "variation": directions.variation[: max(leading)],
        "embedder": embedder,
        "sweep": rows,
        "texts": texts,
    }
    analyses.write(store.files, "adjustment", found)
    if directory is not None:
        # Here and not above: matplotlib takes 0.7 s.
        from keytokens.pipelines.figures import adjustment as figures
        from keytokens.pipelines.figures import files as figure_files

        results.write(directory / "adjustment.json", found)
        (directory / "sweep.csv").write_text(tables.csv_text(rows), "utf-8")
        for metric in figures.METRICS:
            figure_files.write(directory / metric, figures.curves(rows, metric, embedder=embedder.get(metric)))
        print(f"adjustment.json, sweep.csv and curves: {directory}")
    if output:
        print(f"adjusted backbone, lambda_1 = {chosen.shift:.2f}: {output}")


def reference(measured: store_alignment.StoreAlignment) -> dict[str, float]:
    """The embedder's own values of the curves' metrics."""
    own, content = measured.metrics[store_alignment.OWN], measured.metrics[store_alignment.CONTENT]
    shares = measured.class_shares
    return {
        "hit": own.hit.estimate,
        "content_hit": content.hit.estimate,
        "lar": own.lar.estimate,
        "gar": own.gar.estimate,
        "stop_share": shares["stop_word"].estimate + shares["punctuation"].estimate,
    }


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["store"])


if __name__ == "__main__":
    run()
