"""How sure is a spectrum? Leave-one-group-out replicates of the moments of work units.

D hidden size, G groups of units.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from keytokens.pipelines.analysis import bootstrap, spectrum
from keytokens.pipelines.analysis.moments import PairMoments, merge, merge_all

_OF_A_SPECTRUM = ("effective_rank", "centred_effective_rank", "anisotropy", "mean_norm")


@dataclasses.dataclass(frozen=True)
class SpectrumErrors:
    """Standard errors by the jackknife over groups of units; nan where a replicate has no such number.

    Attributes:
      num_groups: G.
      variation: float64 [D], of every v_j, each replicate along its own components. None without a backbone.
      singular_values: model -> float64 [D].
      numbers: "MODEL.NAME" -> of the single numbers of both spectra, and "comparison.dominance", ".linear_cka".
    """

    num_groups: int
    variation: np.ndarray | None
    singular_values: dict[str, np.ndarray]
    numbers: dict[str, float]


def group_moments(parts: Iterable[PairMoments], num_groups: int) -> list[PairMoments]:
    """The moments of up to G groups; unit i belongs to group i mod G. Units without texts are left out."""
    groups: list[PairMoments] = []
    for index, part in enumerate(part for part in parts if part.f.count):
        if len(groups) < num_groups:
            groups.append(part)
        else:
            groups[index % num_groups] = merge(groups[index % num_groups], part)
    return groups


def spectrum_errors(groups: Sequence[PairMoments], *, num_angles: int = 10) -> SpectrumErrors:
    """The errors of spectra and comparison: everything is computed G times, each time without one group.

    Components of nearly equal singular values change places between replicates; the errors of their v_j then say so.

    Raises:
      ValueError: fewer than two groups, which leave nothing to compare.
    """
    if len(groups) < 2:
        raise ValueError(f"{len(groups)} group of texts has no error: two work units at least are needed.")
    rows: list[dict[str, float]] = []
    variations, singular = [], []
    for left_out in range(len(groups)):
        pair = merge_all([group for index, group in enumerate(groups) if index != left_out])
        spectra = {"embedder": spectrum.spectrum_of(pair.f)}
        if pair.g is not None:
            spectra["backbone"] = spectrum.spectrum_of(pair.g)
        row = {f"{model}.{name}": getattr(one, name) for model, one in spectra.items() for name in _OF_A_SPECTRUM}
        for model, one in spectra.items():
            row[f"{model}.first_energy"] = float(one.explained_variance_ratio[0])
        if pair.g is not None:
            compared = spectrum.compare_spectra(pair, spectra["embedder"], spectra["backbone"], num_angles=num_angles)
            row |= {"comparison.dominance": compared.dominance, "comparison.linear_cka": compared.linear_cka}
            variations.append(compared.variation)
        # Singular values grow with the square root of the number of texts.
        scale = np.sqrt(sum(group.f.count for group in groups) / pair.f.count)
        singular.append({model: one.singular_values * scale for model, one in spectra.items()})
        rows.append(row)
    return SpectrumErrors(
        num_groups=len(groups),
        variation=bootstrap.jackknife_error(np.array(variations)) if variations else None,
        singular_values={
            model: bootstrap.jackknife_error(np.array([one[model] for one in singular])) for model in singular[0]
        },
        numbers={name: float(bootstrap.jackknife_error(np.array([row[name] for row in rows]))) for name in rows[0]},
    )
