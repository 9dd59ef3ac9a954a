"""Compares the spectrum of an embedder with its backbone's: which principal component did training move?

  python -m keytokens.pipelines.compare_spectra --store=out.zarr --output_dir=spectra

reads the merged moments of a store and writes spectra/ into it (singular values, components, explained variance,
variation along each backbone component, principal angles) and, into --output_dir, spectra.json, CSV, and figures as PNG
and SVG. Errors come from leaving out groups of work units. Several stores, separated by commas, compare several
embedders of one backbone. Without a backbone in the store, the embedder's own spectrum.

--contribution also splits the logits of the aligned tokens by component, --text those of a given text into component 1
and the rest; both need the models, the first stored embeddings, too. --check_svd compares with a plain SVD of the
stored embeddings. --trajectory draws what train_pair has written. A second at D = 384, minutes at D = 4096; the paper's
finding is that |v_1|, the variation along the first component, exceeds all others.
"""

import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from keytokens.pipelines import cli, encoder, results, spectral, store_model, tables
from keytokens.pipelines.explain import text as explain_texts
from keytokens.pipelines.report import terminal
from keytokens.pipelines.spectral import StoreSpectra
from keytokens.pipelines.store import analyses, reader

cli.declare_flags("store", "model_path", "backbone_path", "text", "output_dir", "compilation_cache")

NUM_ANGLES = flags.DEFINE_integer(
    "num_angles", 10, "Dimension of the leading subspaces whose principal angles are measured.", lower_bound=1
)
NUM_GROUPS = flags.DEFINE_integer(
    "num_groups", 10, "Groups of units for the errors, which take as many eigendecompositions; 0: none.", lower_bound=0
)
CONTRIBUTION = flags.DEFINE_bool("contribution", False, "Split the logits of the ten aligned tokens by component.")
CHECK_SVD = flags.DEFINE_bool("check_svd", False, "Compare with an SVD of the stored embeddings, all in memory.")
TRAJECTORY = flags.DEFINE_string("trajectory", None, "Directory or trajectory.jsonl of a train_pair run to draw.")


def to_json(found: StoreSpectra) -> dict[str, Any]:
    """The results without the D x D components."""
    plain = results.plain(found)
    for model in ("embedder", "backbone"):
        if plain[model] is not None:
            del plain[model]["components"]
    return plain


def rows_of(found: StoreSpectra) -> list[dict[str, Any]]:
    """One row a component, for CSV."""
    rows = []
    for j in range(len(found.embedder.singular_values)):
        row: dict[str, Any] = {"model": found.model, "component": j + 1}
        for name, one in (("embedder", found.embedder), ("backbone", found.backbone)):
            if one is not None:
                row[f"{name}_singular_value"] = one.singular_values[j]
                row[f"{name}_explained_variance"] = one.explained_variance_ratio[j]
                row[f"{name}_centred_explained_variance"] = one.centred_explained_variance_ratio[j]
        if found.comparison is not None:
            row["variation"] = found.comparison.variation[j]
            if found.errors is not None and found.errors.variation is not None:
                row["variation_error"] = found.errors.variation[j]
        for model, split in found.contributions.items():
            if j < len(split.by_component):
                row[f"{model}_contribution"] = split.by_component[j]
                row[f"{model}_contribution_to_all_tokens"] = split.baseline[j]
        rows.append(row)
    return results.plain(rows)


def summary(found: StoreSpectra) -> str:
    """The numbers that answer the question, as lines."""

    def error(name: str) -> str:
        value = math.nan if found.errors is None else found.errors.numbers[name]
        return f" ± {value:.2g}" if math.isfinite(value) else ""

    lines = [f"{found.model}  ({found.store})"]
    for name, one in (("embedder", found.embedder), ("backbone", found.backbone)):
        if one is not None:
            lines.append(
                f"{name}: {one.count:,} texts, effective rank {one.effective_rank:.1f}{error(f'{name}.effective_rank')}"
                f" of {len(one.singular_values)}, first component {one.explained_variance_ratio[0]:.1%} of the energy, "
                f"anisotropy {one.anisotropy:.3f}{error(f'{name}.anisotropy')}"
            )
    if found.comparison is not None:
        c, e = found.comparison, found.errors
        first = f" ± {e.variation[0]:.2g}" if e is not None and e.variation is not None else ""
        angles = ", ".join(f"{angle * 57.29577951:.0f}" for angle in c.principal_angles_rad)
        verdict = _verdict(c.dominance, found.dominance_margin)
        lines.append(
            f"variation: v_1 = {c.variation[0]:.3f}{first}, {c.dominance:.1f}{error('comparison.dominance')} times the "
            f"next largest ({verdict}); linear CKA {c.linear_cka:.3f}; principal angles in degrees: {angles or 'none'}"
        )
    if found.errors is not None:
        lines.append(f"± is a standard error, from leaving out one of {found.errors.num_groups} groups of texts")
    else:
        lines.append("no errors: they need a store of two work units at least (align_corpus --unit_rows)")
    for model, split in found.contributions.items():
        lines.append(
            f"logits of the {model}'s aligned tokens: mean {split.total:.2f}, of which component 1 "
            f"{split.by_component[0]:.2f} (it gives any token {split.baseline[0]:.2f}), components 2 to "
            f"{len(split.by_component)} {split.by_component[1:].sum():.2f}, the others {split.rest:.2f}"
        )
    return "\n".join(lines)


def _verdict(dominance: float, margin: float) -> str:
    if math.isnan(dominance):
        return "the mean embedding did not move"
    if not math.isfinite(margin):
        return "whether it dominates is not known without an error"
    if dominance <= 1:
        return "it does not dominate"
    return "it dominates" if dominance - margin > 1 else "it is not sure that it dominates"


def render_texts(found: Sequence[spectral.TextContribution]) -> str:
    """The split of each text's aligned tokens, for people."""
    parts = []
    for one in found:
        rows = [
            [terminal.token_name(token), *(f"{value:.2f}" for value in values)]
            for token, *values in zip(one.tokens, one.total, one.first, one.rest, strict=True)
        ]
        table = tables.aligned(["aligned token", "logit", "component 1", "the others"], rows)
        parts.append(f"\n{one.text}  (by the {one.model})\n{table}\n")
    return terminal.printable("".join(parts))


def check_one_backbone(stores: Sequence[reader.StoreReader]) -> None:
    """Refuses to draw embedders of different backbones into one figure.

    Raises:
      ValueError: which stores differ.
    """
    digests = {
        store.files.url: (store.manifest["identity"]["backbone"] or {}).get("weights_sha256") for store in stores
    }
    if len(set(digests.values())) > 1:
        lines = "\n".join(f"  {url}: {digest}" for url, digest in digests.items())
        raise ValueError(
            "--store: several stores are compared along the components of one backbone, and these have different ones "
            f"(SHA-256 of the weights):\n{lines}\nCompare them one by one."
        )


def read_trajectory(path: str) -> list[dict[str, Any]]:
    """The points of a training run.

    Raises:
      ValueError: there is no such file.
    """
    file = pathlib.Path(path)
    file = file / "trajectory.jsonl" if file.is_dir() else file
    if not file.is_file():
        raise ValueError(f"--trajectory={path}: no trajectory.jsonl there. train_pair writes one with --held_out.")
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def main(argv: Sequence[str]) -> None:
    """Reduces, writes and draws."""
    del argv
    explain_texts.check_texts(cli.TEXT.value or [])
    stores = [reader.StoreReader(url) for url in cli.given(cli.STORE).split(",")]
    check_one_backbone(stores)
    points = read_trajectory(TRAJECTORY.value) if TRAJECTORY.value else []
    directory = cli.make_output_dir()
    found: list[StoreSpectra] = []
    of_texts: list[spectral.TextContribution] = []
    for store in stores:
        one = spectral.spectra_of(store, num_angles=NUM_ANGLES.value, num_groups=NUM_GROUPS.value)
        loaded = _load(store) if CONTRIBUTION.value or cli.TEXT.value else {}
        if CONTRIBUTION.value:
            one.contributions.update(spectral.contributions(store, loaded, one))
        of_texts += spectral.text_contributions(cli.TEXT.value or [], loaded, one)
        spectral.write(store, one)
        analyses.write(store.files, "spectra", to_json(one))
        if points:
            analyses.write(store.files, "trajectory", points)
        found.append(one)
        print(summary(one))
        if CHECK_SVD.value:
            differences = spectral.svd_difference(store, one)
            print("against a plain SVD: " + ", ".join(f"{name} {value:.1e}" for name, value in differences.items()))
    print(render_texts(of_texts), end="")
    if directory is not None:
        _write(directory, found, points, of_texts)


def _load(store: reader.StoreReader) -> dict[str, encoder.Encoder]:
    configs = {"embedder": store_model.config_of(store, name=cli.MODEL_PATH.value)}
    if store.dims.has_backbone:
        configs["backbone"] = store_model.config_of(store, name=cli.BACKBONE_PATH.value, backbone=True)
    return {name: encoder.shared_encoder(config) for name, config in configs.items()}


def _write(
    directory: pathlib.Path,
    found: Sequence[StoreSpectra],
    points: Sequence[dict[str, Any]],
    of_texts: Sequence[spectral.TextContribution],
) -> None:
    # Here and not above: matplotlib takes 0.7 s.
    from keytokens.pipelines.figures import files as figure_files
    from keytokens.pipelines.figures import spectra as figures
    from keytokens.pipelines.figures import trajectory as trajectory_figures

    results.write(directory / "spectra.json", {"embedders": [to_json(one) for one in found]})
    rows = [row for one in found for row in rows_of(one)]
    (directory / "spectra.csv").write_text(tables.csv_text(rows), "utf-8")
    for name, figure in figures.all_figures(found).items():
        figure_files.write(directory / name, figure)
    if points:
        figure_files.write(directory / "trajectory_variation", trajectory_figures.variation(points))
        figure_files.write(directory / "trajectory_shares", trajectory_figures.shares(points))
    print(f"spectra.json, spectra.csv and figures: {directory}")
    for number, one_text in enumerate(of_texts, start=1):
        name = f"contribution_text_{number}_{one_text.model}"
        figure_files.write(directory / name, figures.text_contribution(one_text))
    if of_texts:
        results.write(directory / "contribution_texts.json", of_texts)


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["store"])


if __name__ == "__main__":
    run()
