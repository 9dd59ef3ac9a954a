"""What directions do the embeddings of a corpus live in, and along which does an embedder leave its backbone?

After "A Text is Worth Several Tokens" (arXiv 2406.17378). n texts, D hidden size, f the embedder, g its
backbone, H [n, D] the embeddings of one model. All follows from the moments, in float64; H itself is never needed.
"""

import dataclasses
import math

import numpy as np
import scipy

from keytokens.pipelines.analysis.moments import Moments, PairMoments

# |mean . V_j| below this share of the largest root-mean-square loading has no sign to speak of.
_NO_SIGN = 1e-10


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """The spectrum of one model's embeddings, not centred unless the name says so.

    Attributes:
      count: n.
      singular_values: [D], of H, largest first: sqrt(n lambda_j), lambda_j the eigenvalues of H^T H / n. Zero past
        min(n, D), and where float64 cannot tell them from zero.
      components: [D, D], row j is V_j, the j-th right singular vector of H. Its sign makes mean(h) . V_j >= 0; where
        that is zero, the entry of largest magnitude is positive. Rows past `rank` are some basis of what no text has.
      explained_variance_ratio: [D], lambda_j / sum lambda: share of the energy sum |h|^2. All zero if every h is.
      centred_explained_variance_ratio: [D], the same of h - mean(h): the ratio of ordinary PCA.
      effective_rank: exp of the entropy of the singular values, scaled to sum to 1 (Roy and Vetterli, 2007): between 1,
        all texts on one line, and D, all directions alike. 0 if every h is zero.
      centred_effective_rank: the same of h - mean(h). 0 if all texts embed alike.
      anisotropy: |mean of h / |h| |^2, between 0 (directions cancel) and 1 (one direction). It is the mean cosine
        similarity of two texts drawn with replacement.
      mean_norm: |mean h|.
    """

    count: int
    singular_values: np.ndarray
    components: np.ndarray
    explained_variance_ratio: np.ndarray
    centred_explained_variance_ratio: np.ndarray
    effective_rank: float
    centred_effective_rank: float
    anisotropy: float
    mean_norm: float

    @property
    def rank(self) -> int:
        """Directions that some text touches: singular values above zero, at most min(n, D)."""
        return int(np.count_nonzero(self.singular_values))


@dataclasses.dataclass(frozen=True)
class Comparison:
    """An embedder f against its backbone g over the same texts.

    Attributes:
      variation: [D], v_j = (mean h_f - mean h_g) . V_j, V_j the components of the *backbone*. The paper's finding:
        |v_1| dominates all others.
      dominance: |v_1| / max over 1 < j <= rank of |v_j|; above 1, the first component moved most. inf if only v_1
        moved, nan if nothing did.
      linear_cka: ||C_fg||^2 / (||C_ff|| ||C_gg||), Frobenius norms of the covariances (Kornblith et al., 2019, eq. 6):
        1 for the same geometry up to rotation and scale, 0 for none in common; nan if a model embeds all texts alike.
      principal_angles_rad: [r], angles in radians between the leading r components of f and those of g, smallest first.
    """

    variation: np.ndarray
    dominance: float
    linear_cka: float
    principal_angles_rad: np.ndarray


def spectrum_of(moments: Moments) -> Spectrum:
    """The spectrum of the embeddings behind `moments`.

    Raises:
      ValueError: moments of no text, or not finite.
    """
    _check(moments)
    eigenvalues, vectors = scipy.linalg.eigh(moments.second_moment, driver="evd")
    eigenvalues = _without_noise(eigenvalues[::-1], most=moments.count)
    # Subtracting the mean takes one direction from n texts.
    centred = scipy.linalg.eigvalsh(moments.covariance)[::-1]
    centred = _without_noise(centred, most=moments.count - 1, scale=eigenvalues[0])
    return Spectrum(
        count=moments.count,
        singular_values=np.sqrt(moments.count * eigenvalues),
        components=_signed(vectors[:, ::-1].T, moments.mean, scale=math.sqrt(eigenvalues[0])),
        explained_variance_ratio=_shares(eigenvalues),
        centred_explained_variance_ratio=_shares(centred),
        effective_rank=_effective_rank(np.sqrt(eigenvalues)),
        centred_effective_rank=_effective_rank(np.sqrt(centred)),
        anisotropy=float(np.sum(np.square(moments.unit_sum / moments.count))),
        mean_norm=float(np.linalg.norm(moments.mean)),
    )


def compare(pair: PairMoments, *, num_angles: int = 10) -> Comparison:
    """The embedder of `pair` against its backbone.

    Args:
      pair: moments of both models and their cross moment.
      num_angles: r, size of the leading subspaces; fewer where one of the models has a smaller rank.

    Raises:
      ValueError: no backbone, no text, not the same texts, not the same hidden size, num_angles < 1.
    """
    if pair.g is None or pair.cross_scatter is None:
        raise ValueError("these moments hold no backbone, so there is nothing to compare: run with --backbone=NAME.")
    return compare_spectra(pair, spectrum_of(pair.f), spectrum_of(pair.g), num_angles=num_angles)


def compare_spectra(pair: PairMoments, f: Spectrum, g: Spectrum, *, num_angles: int = 10) -> Comparison:
    """As `compare`, for whoever has the two spectra: at D = 4096 an eigendecomposition takes most of the time.

    Raises:
      ValueError: as `compare`.
    """
    if pair.g is None or pair.cross_scatter is None:
        raise ValueError("these moments hold no backbone, so there is nothing to compare: run with --backbone=NAME.")
    if num_angles < 1:
        raise ValueError(f"num_angles={num_angles} must be at least 1: it is the size of the subspaces compared.")
    _check_pair(pair.f, pair.g)
    variation = g.components @ (pair.f.mean - pair.g.mean)
    leading = min(num_angles, f.rank, g.rank)
    return Comparison(
        variation=variation,
        dominance=_dominance(np.abs(variation[: g.rank])),
        linear_cka=_linear_cka(pair) if f.centred_effective_rank and g.centred_effective_rank else math.nan,
        principal_angles_rad=_principal_angles_rad(f.components[:leading], g.components[:leading]),
    )


def _check(moments: Moments) -> None:
    if moments.count < 1:
        raise ValueError(
            "a spectrum of 0 texts does not exist: every row of the corpus is a dead letter, or none was read."
        )
    if not (np.isfinite(moments.mean).all() and np.isfinite(moments.scatter).all()):
        raise ValueError(
            f"moments of {moments.count} texts hold inf or NaN, so they have no spectrum: a non-finite embedding was "
            "merged into them. Write it to the dead letters instead, and recompute the unit."
        )


def _check_pair(f: Moments, g: Moments) -> None:
    if f.count != g.count:
        raise ValueError(
            f"the embedder's moments count {f.count} texts and the backbone's {g.count}: they must be of the same "
            "texts, or their difference says nothing. Accumulate both in one pass."
        )
    if f.mean.shape != g.mean.shape:
        raise ValueError(
            f"the embedder has hidden size {f.mean.size} and the backbone {g.mean.size}: mean h_f - mean h_g needs one "
            "space. Compare an embedder with the backbone it was trained from."
        )


def _without_noise(eigenvalues: np.ndarray, *, most: int, scale: float | None = None) -> np.ndarray:
    """The eigenvalues of a [D, D] matrix, largest first, zero where there can be nothing but rounding.

    Args:
      eigenvalues: [D], some of them negative by rounding.
      most: that can be above zero. Moments that a device has summed in float32 show others far above float64's floor.
      scale: norm of the matrix that was rounded; the largest eigenvalue where it is not given.
    """
    floor = len(eigenvalues) * np.finfo(np.float64).eps * (eigenvalues[0] if scale is None else scale)
    return np.where((eigenvalues > floor) & (np.arange(len(eigenvalues)) < most), eigenvalues, 0.0)


def _signed(components: np.ndarray, mean: np.ndarray, *, scale: float) -> np.ndarray:
    loading = components @ mean
    largest = components[np.arange(len(components)), np.abs(components).argmax(1)]
    decides = np.where(np.abs(loading) > _NO_SIGN * scale, loading, largest)
    return components * np.where(decides < 0, -1.0, 1.0)[:, None]


def _shares(values: np.ndarray) -> np.ndarray:
    total = values.sum()
    return values / total if total > 0 else np.zeros_like(values)


def _effective_rank(singular_values: np.ndarray) -> float:
    shares = _shares(singular_values)
    shares = shares[shares > 0]
    return float(np.exp(-np.sum(shares * np.log(shares)))) if len(shares) else 0.0


def _dominance(magnitudes: np.ndarray) -> float:
    first, rest = magnitudes[:1].sum(), magnitudes[1:].max(initial=0.0)
    if rest > 0:
        return float(first / rest)
    return math.inf if first > 0 else math.nan


def _linear_cka(pair: PairMoments) -> float:
    assert pair.g is not None
    norms = np.linalg.norm(pair.f.covariance) * np.linalg.norm(pair.g.covariance)
    return float(np.sum(np.square(pair.cross_covariance)) / norms)


def _principal_angles_rad(f: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Angles between the row spaces of f and g [r, D], smallest first."""
    # Through sine and cosine (Knyazev and Argentati, 2002): the arc cosine alone rounds angles below 1e-8 to zero.
    return scipy.linalg.subspace_angles(f.T, g.T)[::-1] if len(f) else np.zeros(0)
