"""Writes the report of a store again: one HTML page with what every analysis has found since.

  python -m keytokens.pipelines.write_report --store=out.zarr --output=report.html

shows what was run, the findings in words, a searchable table of texts with their key tokens, alignment with its
control, hub tokens, spectra, and what compare_spectra, adjust_component and measure_alignment have left in the store.
--beside=pair.zarr adds a section for a store of the same corpus by another model: what was found of it in words, its
alignment beside the first's, its own spectral comparison; the table of texts lists its key tokens, too. Several are
separated by commas. The page needs no network and no other file. align_corpus writes one at the end of its run; this
takes seconds a store, and reads neither corpus nor model. Without --output it replaces the store's own run/report.html.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from keytokens.pipelines import cli
from keytokens.pipelines.report import gather
from keytokens.pipelines.store import reader

cli.declare_flags("store", "output")

BESIDE = flags.DEFINE_list("beside", [], "Stores of the same corpus by other models, to show beside --store.")


def main(argv: Sequence[str]) -> None:
    """Reads the store, writes the page."""
    del argv
    cli.check_output_files()
    store = reader.StoreReader(cli.given(cli.STORE))
    gathered = gather.gather_beside(store, [reader.StoreReader(url) for url in BESIDE.value])
    if cli.OUTPUT.value:
        from keytokens.pipelines.report import page  # here and not above: its figures take 0.7 s of matplotlib

        pathlib.Path(cli.OUTPUT.value).write_text(page.render(gathered), "utf-8")
        print(f"report: {cli.OUTPUT.value}")
    else:
        print(f"report: {gather.write_report(store, gathered)}")


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["store"])


if __name__ == "__main__":
    run()
