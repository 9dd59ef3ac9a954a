"""The spectra of a store: from its moments, with errors from its units, checked and split with its embeddings.

n texts, D hidden size.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keytokens.pipelines import encoder
from keytokens.pipelines.analysis import contribution, replicates, spectrum
from keytokens.pipelines.store import arrays, reader, schema

_SPECTRUM_ARRAYS = (
    "singular_values",
    "components",
    "explained_variance_ratio",
    "centred_explained_variance_ratio",
)
# Components whose share in the logits is told apart.
SPLIT_COMPONENTS = 20
HIT_AT = 10


@dataclasses.dataclass(frozen=True)
class StoreSpectra:
    """What a store's moments, units and embeddings say.

    Attributes:
      store: its URL.
      model: name of the embedder.
      embedder: its spectrum.
      backbone: of its backbone, if the store has one.
      comparison: of the two.
      errors: standard errors; None where the store is a single unit, or none were asked for.
      contributions: model -> where the logits of its ten aligned tokens come from; empty where not asked for.
    """

    store: str
    model: str
    embedder: spectrum.Spectrum
    backbone: spectrum.Spectrum | None
    comparison: spectrum.Comparison | None
    errors: replicates.SpectrumErrors | None
    contributions: dict[str, contribution.MeanContribution]

    @property
    def dominance_margin(self) -> float:
        """Half of the 95 % interval of |v_1| over the next largest; nan where nothing says how sure that ratio is."""
        return math.nan if self.errors is None else 1.96 * self.errors.numbers.get("comparison.dominance", math.nan)


def spectra_of(store: reader.StoreReader, *, num_angles: int = 10, num_groups: int = 10) -> StoreSpectra:
    """The spectra of a store, without contributions.

    Args:
      store: complete.
      num_angles: size of the subspaces whose principal angles are measured.
      num_groups: of units for the errors; 0 for none.

    Raises:
      ValueError: no text of the store was embedded.
    """
    pair = store.merged_moments()
    if not pair.f.count:
        raise ValueError(f"{store.files.url} holds no embedded text, so it has no spectrum.")
    num_angles = min(num_angles, store.dims.hidden_size)
    f = spectrum.spectrum_of(pair.f)
    g = spectrum.spectrum_of(pair.g) if pair.g is not None else None
    compared = spectrum.compare_spectra(pair, f, g, num_angles=num_angles) if g is not None else None
    groups = replicates.group_moments(store.partial_moments(), num_groups) if num_groups else []
    errors = replicates.spectrum_errors(groups, num_angles=num_angles) if len(groups) > 1 else None
    return StoreSpectra(
        store.files.url, store.manifest["identity"]["model"]["name"], f, g, compared, errors, contributions={}
    )


def write(store: reader.StoreReader, found: StoreSpectra) -> None:
    """Writes the group `spectra/` of the store, in place of an earlier one, whose arrays may be of other shapes."""
    for key in store.files.keys("spectra/"):
        store.files.delete(key)
    arrays.write_group(store.files, "spectra", schema.MAPPING)
    for name, result in parts(found).items():
        arrays.write_group(store.files, f"spectra/{name}", {**schema.MAPPING, **scalars(result)})
        for field in _SPECTRUM_ARRAYS if name != "comparison" else ("variation", "principal_angles_rad"):
            arrays.write_whole(store.files, f"spectra/{name}/{field}", getattr(result, field))


def parts(found: StoreSpectra) -> dict[str, spectrum.Spectrum | spectrum.Comparison]:
    """What there is of embedder, backbone and comparison."""
    named = {"embedder": found.embedder, "backbone": found.backbone, "comparison": found.comparison}
    return {name: part for name, part in named.items() if part is not None}


def scalars(result: Any) -> dict[str, Any]:
    """The single numbers of a result, as JSON has them: not finite becomes null."""
    values = {name: value for name, value in vars(result).items() if isinstance(value, int | float)}
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def contributions(
    store: reader.StoreReader, loaded: dict[str, encoder.Encoder], found: StoreSpectra
) -> dict[str, contribution.MeanContribution]:
    """Where the logits of the ten aligned tokens come from, component by component of the backbone.

    Args:
      store: with embeddings of the models asked for.
      loaded: "embedder" and, where there is one, "backbone" -> the model whose head decodes.
      found: its spectra; of a store without a backbone the embedder's own components are taken.

    Raises:
      ValueError: embeddings are missing, or a head is not linear in the embedding.
    """
    components = (found.backbone or found.embedder).components[:SPLIT_COMPONENTS]
    dead = store.column("dead_letter")
    results = {}
    for model, one in loaded.items():
        check_linear(one)
        counter = contribution.ContributionCounter(np.asarray(one.embedder.head.weight, np.float32), components)
        for row0, row1 in store.shards():
            alive = ~dead[row0:row1]
            hidden = store.embeddings(row0, row1, backbone=model == "backbone")[alive]
            k = min(HIT_AT, store.dims.k)
            if model == "embedder":
                tokens = store.ranked_postings(row0, row1)[0][alive, :k]
            else:
                tokens = one.align(hidden, k).indices
            counter.add(hidden, tokens)
        results[model] = counter.result()
    return results


@dataclasses.dataclass(frozen=True)
class TextContribution:
    """The aligned tokens of one text by one model, and where their logits come from.

    Attributes:
      text: the text.
      model: "embedder" or "backbone".
      tokens: k strings, best first.
      total: float64 [k], logits without bias.
      first: float64 [k], of which component 1: E V_1 V_1^T h.
      rest: float64 [k], of which all others.
    """

    text: str
    model: str
    tokens: list[str]
    total: np.ndarray
    first: np.ndarray
    rest: np.ndarray


def text_contributions(
    texts: Sequence[str], loaded: dict[str, encoder.Encoder], found: StoreSpectra, *, k: int = HIT_AT
) -> list[TextContribution]:
    """The split of the aligned tokens of given texts, as the paper draws it; arguments as in `contributions`.

    Raises:
      ValueError: a head is not linear in the embedding.
    """
    first = (found.backbone or found.embedder).components[:1]
    results = []
    for model, one in loaded.items():
        check_linear(one)
        hidden = one.embed(texts).hidden
        tokens = one.align(hidden, k).indices
        head = np.asarray(one.embedder.head.weight[np.unique(tokens)], np.float32)
        split = contribution.contribution(hidden, np.searchsorted(np.unique(tokens), tokens), head, first)
        for row, text in enumerate(texts):
            names = [one.embedder.token_strings[token] for token in tokens[row].tolist()]
            part = (split.total[row], split.by_component[row, :, 0], split.rest[row])
            results.append(TextContribution(text, model, names, *part))
    return results


def check_linear(one: encoder.Encoder) -> None:
    """Refuses a head whose logits are no sum over components.

    Raises:
      ValueError: it transforms the embedding first.
    """
    if "transform" in one.embedder.params:
        raise ValueError(
            f"{one.embedder.config.name}: a masked language model's head transforms the embedding before the "
            "vocabulary, so its logits are no sum over components. Run with --nocontribution and without --text."
        )


def svd_difference(store: reader.StoreReader, found: StoreSpectra) -> dict[str, float]:
    """How far the spectra from moments are from plain SVDs of the stored embeddings in float64.

    Holds all embeddings in memory: n D 8 bytes.

    Returns:
      Model -> the largest difference of a singular value, relative to the largest one (those past the n of the SVD are
      zero); and for each component whose singular value is separated by 1 % of the largest, 1 - |cosine| with the
      SVD's, whichever is larger.

    Raises:
      ValueError: the store holds no embeddings.
    """
    alive = ~store.column("dead_letter")
    models = {"embedder": found.embedder, **({"backbone": found.backbone} if found.backbone else {})}
    differences = {}
    for name, of_moments in models.items():
        h = store.embeddings(0, store.dims.num_rows, backbone=name == "backbone")[alive].astype(np.float64)
        _, values, vectors = np.linalg.svd(h, full_matrices=False)
        size = len(values)
        all_values = np.pad(values, (0, len(of_moments.singular_values) - size))
        worst = np.abs(of_moments.singular_values - all_values).max() / values[0]
        gaps = np.abs(np.diff(values, prepend=np.inf, append=0.0))
        apart = np.minimum(gaps[:-1], gaps[1:]) > 0.01 * values[0]
        cosines = np.abs((of_moments.components[:size] * vectors).sum(1))[apart]
        differences[name] = float(max(worst, (1 - cosines).max(initial=0.0)))
    return differences
