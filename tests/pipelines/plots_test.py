"""Plots are PNG files of the size promised, for every spectrum there can be, and touch no global state."""

import struct
import sys

import numpy as np
import pytest

from keytokens.pipelines import plots
from keytokens.pipelines.analysis.moments import PairMoments
from keytokens.pipelines.analysis.spectrum import compare, spectrum_of

OF_ONE = {"singular_values.png", "explained_variance.png"}
OF_BOTH = OF_ONE | {"variation.png", "principal_angles.png"}


def pair(n: int, hidden_size: int) -> PairMoments:
    f, g = np.random.default_rng(0).normal(1.0, 1.0, (2, n, hidden_size))
    return PairMoments.of(f, g)


def size_pixels(png: bytes) -> tuple[int, ...]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


@pytest.mark.parametrize(("n", "hidden_size"), [(300, 150), (3, 8), (1, 4), (5, 1)])
def test_both_models_with_their_comparison(n, hidden_size):
    moments = pair(n, hidden_size)
    files = plots.plot_spectrum(
        spectrum_of(moments.f), backbone=spectrum_of(moments.g), comparison=compare(moments, num_angles=10)
    )
    assert set(files) == OF_BOTH
    assert {size_pixels(png) for png in files.values()} == {(1280, 800)}


def test_an_embedder_alone_needs_two_plots():
    assert set(plots.plot_spectrum(spectrum_of(pair(20, 4).f))) == OF_ONE


def test_embeddings_that_are_all_zero():
    zero = PairMoments.of(np.zeros((3, 4)), np.zeros((3, 4)))
    files = plots.plot_spectrum(spectrum_of(zero.f), backbone=spectrum_of(zero.g), comparison=compare(zero))
    assert set(files) == OF_BOTH


def test_the_same_spectrum_is_the_same_bytes():
    spectrum = spectrum_of(pair(20, 4).f)
    assert plots.plot_spectrum(spectrum) == plots.plot_spectrum(spectrum)


def test_pyplot_is_not_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    plots.plot_spectrum(spectrum_of(pair(20, 4).f))
    assert "matplotlib.pyplot" not in sys.modules


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"no plot can be drawn.*pip install 'keytokens\[demo\]'"):
        plots.plot_spectrum(spectrum_of(pair(20, 4).f))
