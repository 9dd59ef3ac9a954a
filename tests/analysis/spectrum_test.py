"""Spectra from moments equal numpy's SVD of the embeddings; comparisons have the invariances their formulas promise."""

import dataclasses
import math

import numpy as np
import pytest

from keytokens.pipelines.analysis.moments import Moments, PairMoments
from keytokens.pipelines.analysis.spectrum import compare, compare_spectra, spectrum_of


def embeddings(seed: int, *, n: int = 200, hidden_size: int = 6) -> np.ndarray:
    """Anisotropic, well separated in its spectrum, with a mean that is no component."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, hidden_size)) * 2.0 ** -np.arange(hidden_size) + rng.normal(size=hidden_size)


def rotation(seed: int, hidden_size: int = 6) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(hidden_size, hidden_size)))[0]


@pytest.mark.parametrize("n", [1, 4, 6, 200])
def test_equals_the_svd_of_the_embeddings(n):
    h = embeddings(0, n=n)
    spectrum = spectrum_of(Moments.of(h))
    _, singular_values, components = np.linalg.svd(h)
    rank = min(n, 6)
    assert spectrum.count == n
    assert spectrum.rank == rank
    # H^T H squares the condition number: 1e-15 of the largest eigenvalue is 3e-8 of the largest singular value.
    np.testing.assert_allclose(spectrum.singular_values[:rank], singular_values, rtol=1e-8)
    np.testing.assert_array_equal(spectrum.singular_values[rank:], 0.0)
    np.testing.assert_allclose(np.abs(spectrum.components[:rank] @ components[:rank].T), np.eye(rank), atol=1e-8)
    np.testing.assert_allclose(spectrum.components @ spectrum.components.T, np.eye(6), atol=1e-12)
    energy = np.square(singular_values)
    np.testing.assert_allclose(spectrum.explained_variance_ratio[:rank], energy / energy.sum(), rtol=1e-8)


def test_what_float32_adds_to_moments_is_no_direction():
    """A device sums in float32: far above float64's floor there are then D eigenvalues of any number of texts."""
    h = embeddings(0, n=4)
    exact = Moments.of(h)
    noise = np.random.default_rng(1).normal(size=(6, 6))
    noise = 1e-7 * np.abs(exact.scatter).max() * noise @ noise.T
    spectrum = spectrum_of(dataclasses.replace(exact, scatter=exact.scatter + noise))
    assert spectrum.rank == 4
    np.testing.assert_array_equal(spectrum.singular_values[4:], 0.0)
    # Four texts, less their mean, lie in three directions.
    assert np.count_nonzero(spectrum.centred_explained_variance_ratio) == 3
    # The noise is 1e-7 of the largest entry of the scatter, and so of the energy.
    assert spectrum.effective_rank == pytest.approx(spectrum_of(exact).effective_rank, rel=1e-3)


def test_centred_ratios_are_those_of_ordinary_pca():
    h = embeddings(1)
    energy = np.square(np.linalg.svd(h - h.mean(0), compute_uv=False))
    spectrum = spectrum_of(Moments.of(h))
    np.testing.assert_allclose(spectrum.centred_explained_variance_ratio, energy / energy.sum(), rtol=1e-8)


def test_two_texts_by_hand():
    # H = diag(3, 4): singular values 4 and 3 with shares 4/7 and 3/7, energies 16/25 and 9/25, mean (1.5, 2).
    spectrum = spectrum_of(Moments.of(np.array([[3.0, 0.0], [0.0, 4.0]])))
    np.testing.assert_allclose(spectrum.singular_values, [4, 3], rtol=1e-12)
    np.testing.assert_allclose(spectrum.components, [[0, 1], [1, 0]], atol=1e-12)
    np.testing.assert_allclose(spectrum.explained_variance_ratio, [0.64, 0.36], rtol=1e-12)
    # Two texts differ along one line only.
    np.testing.assert_allclose(spectrum.centred_explained_variance_ratio, [1, 0], atol=1e-12)
    assert spectrum.effective_rank == pytest.approx((7 / 4) ** (4 / 7) * (7 / 3) ** (3 / 7), rel=1e-12)
    assert spectrum.centred_effective_rank == pytest.approx(1.0, rel=1e-12)
    assert spectrum.anisotropy == pytest.approx(0.5, rel=1e-12)
    assert spectrum.mean_norm == pytest.approx(2.5, rel=1e-12)


def test_effective_rank_counts_equal_directions():
    assert spectrum_of(Moments.of(np.eye(5))).effective_rank == pytest.approx(5.0, rel=1e-12)
    assert spectrum_of(Moments.of(np.ones((5, 3)))).effective_rank == pytest.approx(1.0, rel=1e-12)


def test_anisotropy_is_the_mean_cosine_of_two_texts():
    h = embeddings(2, n=30)
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    assert spectrum_of(Moments.of(h)).anisotropy == pytest.approx((unit @ unit.T).mean(), rel=1e-12)


def test_signs_follow_the_mean():
    h = embeddings(3)
    for signed in (h, -h):
        spectrum = spectrum_of(Moments.of(signed))
        assert (spectrum.components @ signed.mean(0) >= 0).all()


def test_without_a_mean_the_largest_entry_is_positive():
    h = embeddings(4)
    h = np.concatenate([h, -h])
    components = spectrum_of(Moments.of(h)).components
    np.testing.assert_array_less(0, components[np.arange(6), np.abs(components).argmax(1)])


def test_signs_do_not_depend_on_the_order_of_texts():
    h = embeddings(5)
    first, second = spectrum_of(Moments.of(h)), spectrum_of(Moments.of(h[::-1]))
    np.testing.assert_allclose(first.components, second.components, atol=1e-9)


def test_texts_that_all_embed_to_zero_have_no_spectrum_but_no_nan():
    spectrum = spectrum_of(Moments.of(np.zeros((3, 2))))
    assert spectrum.rank == 0
    assert spectrum.effective_rank == spectrum.centred_effective_rank == spectrum.anisotropy == 0.0
    assert all(np.isfinite(value).all() for value in vars(spectrum).values())


def test_no_text_is_refused():
    with pytest.raises(ValueError, match="a spectrum of 0 texts does not exist"):
        spectrum_of(Moments.zero(4))


def test_nan_is_refused():
    broken = Moments.of(np.array([[1.0, np.nan], [1.0, 2.0]]))
    with pytest.raises(ValueError, match="moments of 2 texts hold inf or NaN"):
        spectrum_of(broken)


def test_a_shift_along_the_first_component_is_all_variation():
    g = embeddings(6)
    first = spectrum_of(Moments.of(g)).components[0]
    comparison = compare(PairMoments.of(g + 3.0 * first, g))
    np.testing.assert_allclose(comparison.variation, [3, 0, 0, 0, 0, 0], atol=1e-9)
    assert comparison.dominance > 1e6


def test_variation_is_the_mean_difference_in_the_backbone_basis():
    f, g = embeddings(7), embeddings(8)
    comparison = compare(PairMoments.of(f, g))
    components = spectrum_of(Moments.of(g)).components
    np.testing.assert_allclose(comparison.variation, ((f - g) @ components.T).mean(0), atol=1e-12)
    magnitudes = np.abs(comparison.variation)
    assert comparison.dominance == pytest.approx(magnitudes[0] / magnitudes[1:].max())


def test_dominance_looks_only_where_the_backbone_has_texts():
    # The backbone lives on the first axis; where the embedder went, (0, 5), is outside and has no component of its own.
    g = np.array([[1.0, 0.0], [3.0, 0.0]])
    comparison = compare(PairMoments.of(g + np.array([1.0, 5.0]), g))
    np.testing.assert_allclose(comparison.variation, [1, 5], rtol=1e-12)
    assert comparison.dominance == math.inf
    assert math.isnan(compare(PairMoments.of(g, g)).dominance)


@pytest.mark.parametrize("change", ["rotation", "scale", "shift"])
def test_cka_does_not_see_rotation_scale_and_shift(change):
    f, g = embeddings(9), embeddings(10)
    changed = {"rotation": g @ rotation(11), "scale": -7.5 * g, "shift": g + 100.0}[change]
    assert compare(PairMoments.of(g, changed)).linear_cka == pytest.approx(1.0, rel=1e-9)
    expected = compare(PairMoments.of(f, g)).linear_cka
    assert compare(PairMoments.of(f, changed)).linear_cka == pytest.approx(expected, rel=1e-9)


def test_cka_is_that_of_the_kernel_matrices():
    # Kornblith et al. (2019): HSIC of the n x n linear kernels, normalised.
    f, g = embeddings(12, n=40), embeddings(13, n=40)
    centre = np.eye(40) - 1 / 40
    of_f, of_g = (centre @ h @ h.T @ centre for h in (f, g))
    expected = np.sum(of_f * of_g) / (np.linalg.norm(of_f) * np.linalg.norm(of_g))
    assert compare(PairMoments.of(f, g)).linear_cka == pytest.approx(expected, rel=1e-9)


def test_cka_of_unrelated_and_of_constant_embeddings():
    f = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    g = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    assert compare(PairMoments.of(f, g)).linear_cka == 0.0
    # 0.1 has no exact mean over three texts: the covariance is rounding, not geometry.
    assert math.isnan(compare(PairMoments.of(np.full((4, 2), 0.1), g)).linear_cka)


def test_angles_of_equal_subspaces_are_zero():
    g = embeddings(14)
    np.testing.assert_allclose(compare(PairMoments.of(-2.0 * g, g), num_angles=3).principal_angles_rad, 0.0, atol=1e-8)


def test_angles_of_orthogonal_and_of_tilted_subspaces_by_hand():
    # f lives in the plane of axes 0 and 1; g in the plane of axes 2 and (cos 30) axis 0 + (sin 30) axis 3.
    rng = np.random.default_rng(15)
    tilted = np.array([math.cos(math.pi / 6), 0.0, 0.0, math.sin(math.pi / 6)])
    weights = rng.normal(size=(50, 2))
    f, g = weights @ np.eye(4)[:2], weights @ np.stack([tilted, np.eye(4)[2]])
    angles = compare(PairMoments.of(f, g)).principal_angles_rad
    np.testing.assert_allclose(angles, [math.pi / 6, math.pi / 2], atol=1e-8)


@pytest.mark.parametrize(("n", "num_angles", "expected"), [(200, 4, 4), (200, 10, 6), (3, 10, 3)])
def test_there_are_as_many_angles_as_both_models_have_directions(n, num_angles, expected):
    pair = PairMoments.of(embeddings(16, n=n), embeddings(17, n=n))
    angles = compare(pair, num_angles=num_angles).principal_angles_rad
    assert angles.shape == (expected,)
    assert (np.diff(angles) >= 0).all()


def test_given_spectra_are_used():
    pair = PairMoments.of(embeddings(18), embeddings(19))
    expected = compare(pair)
    actual = compare_spectra(pair, spectrum_of(pair.f), spectrum_of(pair.g))
    np.testing.assert_array_equal(actual.variation, expected.variation)
    assert actual.linear_cka == expected.linear_cka


def test_what_cannot_be_compared_is_refused():
    f, g = embeddings(20), embeddings(21)
    with pytest.raises(ValueError, match="no backbone"):
        compare(PairMoments.of(f))
    with pytest.raises(ValueError, match="num_angles=0"):
        compare(PairMoments.of(f, g), num_angles=0)
    cross = np.zeros((6, 6))
    with pytest.raises(ValueError, match="count 200 texts and the backbone's 7"):
        compare(PairMoments(Moments.of(f), Moments.of(g[:7]), cross))
    with pytest.raises(ValueError, match="hidden size 6 and the backbone 3"):
        compare(PairMoments(Moments.of(f), Moments.of(g[:, :3]), cross[:, :3]))
    with pytest.raises(ValueError, match="0 texts"):
        compare(PairMoments.zero(6, has_backbone=True))
