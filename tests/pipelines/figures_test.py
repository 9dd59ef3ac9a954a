"""Figures are files of the size promised and markup without sizes, colours or names of their own."""

import re
import struct
import sys

import numpy as np
import pytest

from keytokens.pipelines.analysis.moments import PairMoments
from keytokens.pipelines.analysis.spectrum import compare, spectrum_of
from keytokens.pipelines.figures import adjustment, alignment, files, inline, spectra, theme
from keytokens.pipelines.spectral import StoreSpectra

OF_ONE = {"singular_values", "explained_variance"}
OF_BOTH = OF_ONE | {"variation", "principal_angles"}


def store_spectra(f: np.ndarray, g: np.ndarray | None = None) -> StoreSpectra:
    pair = PairMoments.of(f, g)
    backbone = spectrum_of(pair.g) if g is not None else None
    return StoreSpectra(
        "out.zarr", "tiny", spectrum_of(pair.f), backbone, compare(pair) if g is not None else None, None, {}
    )


def both(n: int, hidden_size: int) -> StoreSpectra:
    return store_spectra(*np.random.default_rng(0).normal(1.0, 1.0, (2, n, hidden_size)))


def size_pixels(png: bytes) -> tuple[int, ...]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


@pytest.mark.parametrize(("n", "hidden_size"), [(300, 150), (3, 8), (1, 4), (5, 1)])
def test_every_spectrum_can_be_drawn(n, hidden_size):
    found = spectra.all_figures([both(n, hidden_size)])
    assert set(found) == OF_BOTH
    assert {size_pixels(files.png(figure)) for figure in found.values()} == {(1040, 660)}


def test_an_embedder_alone_two_embedders_and_embeddings_that_are_all_zero():
    alone = store_spectra(np.random.default_rng(0).normal(size=(20, 4)))
    assert set(spectra.all_figures([alone])) == OF_ONE
    assert set(spectra.all_figures([both(20, 4), both(30, 4)])) == OF_BOTH
    for figure in spectra.all_figures([store_spectra(np.zeros((3, 4)), np.zeros((3, 4)))]).values():
        files.png(figure)


def test_the_same_numbers_are_the_same_bytes():
    first, second = (spectra.singular_values([both(20, 4)]) for _ in range(2))
    assert files.png(first) == files.png(second) and files.svg(first) == files.svg(second)


def test_pyplot_is_not_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    files.png(spectra.variation([both(20, 4)]))
    assert "matplotlib.pyplot" not in sys.modules


def test_markup_follows_the_page_and_meets_no_other_figure():
    figure = spectra.variation([both(20, 4)])
    title, markup = inline.markup(figure, "one")
    assert title == "Variation" and "Variation<" not in markup
    assert figure.get_suptitle() == "Variation", "a file drawn afterwards has its title"
    assert markup.startswith("<svg viewBox=") and "width=" not in markup[: markup.index(">")]
    assert "<style" not in markup and "<metadata" not in markup and "font-family" not in markup
    assert "var(--second)" in markup and "var(--ink)" in markup
    for colour in inline.VARIABLES:
        assert colour not in markup
    ids = re.findall(r'\bid="([^"]*)"', markup)
    assert len(set(ids)) == len(ids) and all(one.startswith("one-") for one in ids)
    targets = re.findall(r'(?:href="#|url\(#)([^")]*)', markup)
    assert targets and set(targets) <= set(ids)


def test_a_sweep_without_intervals_or_rows():
    rows = [
        {"store": "a", "model": "m", "against": against, "k": k, "hit": 0.1 * k, "lar": 0.0, "gar": 0.0}
        for against in ("own", "content", "shuffled", "shuffled_content")
        for k in (1, 5)
    ]
    files.png(alignment.sweep(rows))
    files.png(alignment.sweep([*rows, *({**row, "store": "b"} for row in rows)], metric="gar"))
    files.png(alignment.sweep([]))
    points = [
        {"leading": 1, "factor": t, "shift": t, "hit": 0.5, "hit_low": None, "hit_high": None} for t in (0.0, 1.0)
    ]
    files.png(adjustment.curves(points, "hit", embedder=0.9))


def test_colours_are_told_apart_by_their_lightness_or_hue():
    assert len(set(theme.COLOURS)) == 4 and set(theme.COLOURS) <= set(inline.VARIABLES)
