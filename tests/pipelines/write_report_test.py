"""The program that writes a report again: of one store, and with other models' stores beside it."""

import pathlib

import pytest
from absl.testing import flagsaver

from keytokens.pipelines import align_corpus, write_report

TEXTS = ["the wing in supersonic flow", "heat transfer to a cone", "", "a jet of air", "boundary layer theory"]


@pytest.fixture(scope="module")
def stores(tmp_path_factory, checkpoint, backbone) -> dict[str, str]:
    """The tiny model's store, that of another model with a backbone on the same texts, and one of other texts."""
    directory = tmp_path_factory.mktemp("run")
    (directory / "docs.txt").write_text("\n".join(TEXTS), "utf-8")
    (directory / "others.txt").write_text("\n".join(TEXTS[:2]), "utf-8")
    runs = {
        "first": (checkpoint, None, "docs.txt"),
        "pair": (backbone, checkpoint, "docs.txt"),
        "elsewhere": (checkpoint, None, "others.txt"),
    }
    for name, (model, of, corpus) in runs.items():
        output = str(directory / f"{name}.zarr")
        with flagsaver.flagsaver(
            model=model, backbone=of, corpus=[str(directory / corpus)], output=output, k=7, unit_rows=2
        ):
            align_corpus.main([])
    return {name: str(directory / f"{name}.zarr") for name in runs}


def test_a_page_shows_both_models_and_the_program_says_where_it_is(stores, tmp_path, capsys):
    output = str(tmp_path / "report.html")
    with flagsaver.flagsaver(store=stores["first"], beside=[stores["pair"]], output=output):
        write_report.main([])
    assert capsys.readouterr().out == f"report: {output}\n"
    page = pathlib.Path(output).read_text("utf-8")
    assert 'id="beside-1"' in page and 'download="beside-1-variation.csv"' in page, "the pair's spectral comparison"
    assert 'download="variation.csv"' not in page, "the first has no backbone"
    assert page.count('class="whose"') == 2 * 4, "two models' key tokens of each text that has any"


def test_a_store_of_other_texts_is_refused(stores, tmp_path):
    output = tmp_path / "report.html"
    with (
        flagsaver.flagsaver(store=stores["first"], beside=[stores["elsewhere"]], output=str(output)),
        pytest.raises(ValueError, match=r"elsewhere\.zarr is not of the corpus of .*first\.zarr: SHA-256"),
    ):
        write_report.main([])
    assert not output.exists()


def test_without_output_the_page_in_the_store_is_replaced(stores, capsys):
    with flagsaver.flagsaver(store=stores["pair"], beside=[stores["first"]]):
        write_report.main([])
    assert capsys.readouterr().out.endswith("pair.zarr/run/report.html\n")
    page = (pathlib.Path(stores["pair"]) / "run" / "report.html").read_text("utf-8")
    assert 'id="beside-1"' in page and 'download="variation.csv"' in page
