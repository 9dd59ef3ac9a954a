"""Compares the spectrum of an embedder with its backbone's: which principal component did training move?

  python -m keytokens.pipelines.compare_spectra --store=out.zarr --output_dir=spectra

reads the merged moments of a store and writes spectra/ into it (singular values, components, explained variance,
variation along each backbone component, principal angles) and, into --output_dir, PNG plots and spectra.json. Without
a backbone in the store, the embedder's own spectrum. A second at D = 384, minutes at D = 4096; the paper's finding is
that |v_1|, the variation along the first component, exceeds all others.
"""

import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from keytokens.pipelines import cli, plots
from keytokens.pipelines.analysis import spectrum
from keytokens.pipelines.store import arrays, reader, schema

cli.declare_flags("store", "output_dir")

NUM_ANGLES = flags.DEFINE_integer(
    "num_angles", 10, "Dimension of the leading subspaces whose principal angles are measured.", lower_bound=1
)
_SPECTRUM_ARRAYS = (
    "singular_values",
    "components",
    "explained_variance_ratio",
    "centred_explained_variance_ratio",
)


def write_spectra(store: reader.StoreReader, *, num_angles: int) -> dict[str, Any]:
    """Computes and writes `spectra/`; returns the spectra by model, with the comparison under "comparison".

    Raises:
      ValueError: no text of the store was embedded.
    """
    pair = store.merged_moments()
    if not pair.f.count:
        raise ValueError(f"{store.files.url} holds no embedded text, so it has no spectrum.")
    found: dict[str, Any] = {"embedder": spectrum.spectrum_of(pair.f)}
    if pair.g is not None:
        found["backbone"] = spectrum.spectrum_of(pair.g)
        found["comparison"] = spectrum.compare_spectra(
            pair, found["embedder"], found["backbone"], num_angles=min(num_angles, store.dims.hidden_size)
        )
    arrays.write_group(store.files, "spectra", schema.MAPPING)
    for name, result in found.items():
        arrays.write_group(store.files, f"spectra/{name}", {**schema.MAPPING, **scalars(result)})
        for field in _SPECTRUM_ARRAYS if name != "comparison" else ("variation", "principal_angles_rad"):
            arrays.write_whole(store.files, f"spectra/{name}/{field}", getattr(result, field))
    return found


def scalars(result: spectrum.Spectrum | spectrum.Comparison) -> dict[str, Any]:
    """The single numbers of a result, as JSON has them: not finite becomes null."""
    values = {name: value for name, value in vars(result).items() if isinstance(value, int | float)}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def to_json(found: dict[str, Any]) -> dict[str, Any]:
    """The results without the D x D components, for people and other programs."""
    return {
        name: {
            **scalars(result),
            **{
                field: value.tolist()
                for field, value in vars(result).items()
                if isinstance(value, np.ndarray) and field != "components"
            },
        }
        for name, result in found.items()
    }


def summary(found: dict[str, Any]) -> str:
    """The numbers that answer the question, as lines."""
    lines = []
    for name in ("embedder", "backbone"):
        if name in found:
            s = found[name]
            lines.append(
                f"{name}: {s.count:,} texts, effective rank {s.effective_rank:.1f} of {len(s.singular_values)}, "
                f"first component {s.explained_variance_ratio[0]:.1%} of the energy, anisotropy {s.anisotropy:.3f}"
            )
    if "comparison" in found:
        c = found["comparison"]
        angles = ", ".join(f"{angle:.0f}" for angle in np.degrees(c.principal_angles_rad))
        lines.append(
            f"variation: v_1 = {c.variation[0]:.3f}, {c.dominance:.1f} times the next largest; "
            f"linear CKA {c.linear_cka:.3f}; principal angles in degrees: {angles or 'none'}"
        )
    return "\n".join(lines)


def main(argv: Sequence[str]) -> None:
    """Reduces, writes and plots."""
    del argv
    found = write_spectra(reader.StoreReader(cli.given(cli.STORE)), num_angles=NUM_ANGLES.value)
    print(summary(found))
    if cli.OUTPUT_DIR.value:
        directory = pathlib.Path(cli.OUTPUT_DIR.value)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "spectra.json").write_text(json.dumps(to_json(found), indent=1) + "\n", "utf-8")
        for name, png in plots.plot_spectrum(**found).items():
            (directory / name).write_bytes(png)
        print(f"spectra.json and plots: {directory}")


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["store"])


if __name__ == "__main__":
    run()
