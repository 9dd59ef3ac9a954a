"""check_claims: a verdict follows its numbers, what cannot be measured is said, one command fills the table."""

import dataclasses
import json
import math

import numpy as np
import pytest
from absl.testing import flagsaver

from keytokens import models
from keytokens.pipelines import check_claims, claims, encoder
from keytokens.pipelines.analysis import adjustment, alignment, replicates
from keytokens.pipelines.analysis.bootstrap import Interval
from keytokens.pipelines.explain.scored_pairs import GoldAgreement
from keytokens.pipelines.spectral import StoreSpectra
from keytokens.pipelines.store_alignment import StoreAlignment
from tests.pipelines.figures_test import store_spectra

SURE, UNSURE = Interval(0.6, 0.5, 0.7, 99), Interval(0.1, -0.1, 0.3, 99)
ALONE, NOTHING = Interval(0.6, math.nan, math.nan, 1), Interval(math.nan, math.nan, math.nan, 0)


def metrics(hit: Interval) -> alignment.Alignment:
    return alignment.Alignment(hit, hit, hit, 10, 99, 0, 0, {})


def measured(own: Interval, control: Interval) -> StoreAlignment:
    return StoreAlignment(
        "s", "m", "sha", False, {"content": metrics(own), "shuffled_content": metrics(control)}, {}, None
    )


def point(factor: float, hit: Interval) -> adjustment.CurvePoint:
    return adjustment.CurvePoint(1, factor, -factor, metrics(hit), metrics(hit), UNSURE, None)


def test_alignment_holds_where_the_intervals_are_apart():
    low = Interval(0.05, 0.02, 0.08, 99)
    assert [one.verdict for one in claims.alignment_claims(measured(SURE, low))] == [claims.HOLDS] * 2
    near = Interval(0.55, 0.48, 0.62, 99)
    assert [one.verdict for one in claims.alignment_claims(measured(SURE, near))] == [claims.FAILS] * 2


def test_alignment_without_a_control_or_an_interval_is_not_judged():
    """A corpus of one text has no other text to take tokens from."""
    for own, control, reason in (
        (SURE, NOTHING, "no control could be measured"),
        (ALONE, NOTHING, "no control could be measured"),
        (ALONE, Interval(0.05, 0.02, 0.08, 99), "too few texts for an interval"),
    ):
        for one in claims.alignment_claims(measured(own, control)):
            assert one.verdict == claims.UNMEASURED and reason in one.figure and "nan" not in one.figure


def with_errors(found: StoreSpectra, dominance: float) -> StoreSpectra:
    errors = replicates.SpectrumErrors(5, np.full(4, 0.1), {}, {"comparison.dominance": dominance})
    return dataclasses.replace(found, errors=errors)


def test_the_first_component_dominates_only_beyond_its_error():
    rng = np.random.default_rng(0)
    g = rng.normal(size=(200, 4)) * 0.1 + [3.0, 0, 0, 0]
    found = store_spectra(g - [2.0, 0, 0, 0], g)
    sure = claims.spectrum_claim(with_errors(found, 0.5))
    assert sure.verdict == claims.HOLDS
    assert "|v_1| is" in sure.figure and "± 0.98 times the next" in sure.figure and sure.figure.endswith("± 0.2 (95 %)")
    assert claims.spectrum_claim(with_errors(found, 1e6)).verdict == claims.FAILS
    other = store_spectra(g - [0, 2.0, 0, 0], g)
    assert claims.spectrum_claim(with_errors(other, 0.5)).verdict == claims.FAILS
    without = claims.spectrum_claim(store_spectra(g))
    assert without.verdict == claims.UNMEASURED and "not at hand" in without.figure


def test_a_spectrum_without_an_error_is_not_judged():
    rng = np.random.default_rng(0)
    g = rng.normal(size=(200, 4)) * 0.1 + [3.0, 0, 0, 0]
    found = store_spectra(g - [2.0, 0, 0, 0], g)
    one_unit = claims.spectrum_claim(found)
    assert one_unit.verdict == claims.UNMEASURED and "two work units" in one_unit.figure and "±" not in one_unit.figure
    lone = claims.spectrum_claim(with_errors(found, math.nan))
    assert lone.verdict == claims.UNMEASURED and "no error: some texts leave v_1 alone" in lone.figure
    unmoved = claims.spectrum_claim(with_errors(store_spectra(g, g), 0.5))
    assert unmoved.verdict == claims.UNMEASURED and "nothing moved" in unmoved.figure


def test_adjustment_holds_where_content_is_hit_more_often_than_before():
    assert claims.adjustment_claim([point(0.0, UNSURE), point(1.0, SURE)]).verdict == claims.HOLDS
    assert claims.adjustment_claim([point(0.0, SURE), point(1.0, UNSURE)]).verdict == claims.FAILS
    assert claims.adjustment_claim(None).verdict == claims.UNMEASURED
    few = claims.adjustment_claim([point(0.0, ALONE), point(1.0, ALONE)])
    assert few.verdict == claims.UNMEASURED and "too few texts" in few.figure


def test_overlap_tracks_people_where_the_correlation_excludes_zero():
    pairs = [GoldAgreement(name, SURE, one, one) for name, one in (("sim", SURE), ("rel", UNSURE))]
    found = claims.overlap_claims(pairs, ["similarity", "relatedness"])
    assert [one.verdict for one in found] == [claims.HOLDS, claims.FAILS]
    assert found[0].claim.endswith("similarity: sim")
    assert claims.overlap_claims([], [])[0].verdict == claims.UNMEASURED
    constant = claims.overlap_claims([GoldAgreement("same", NOTHING, NOTHING, NOTHING)], [])[0]
    assert constant.verdict == claims.UNMEASURED and constant.claim.endswith("tracks people: same")


def test_sets_whose_files_have_one_name_keep_their_kinds():
    pairs = [GoldAgreement("pairs", SURE, SURE, SURE)] * 2
    found = claims.overlap_claims(pairs, ["similarity", "relatedness"])
    assert [one.claim.removeprefix("Overlap of key tokens tracks ") for one in found] == [
        "similarity: pairs",
        "relatedness: pairs",
    ]


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (["banana", "similarity"], "--kinds=banana,similarity: banana is no kind of score"),
        (["similarity"], "names 1 sets; 2 are given"),
    ],
)
def test_kinds_that_say_nothing_are_refused(kinds, message):
    with pytest.raises(ValueError, match=message):
        claims.check_kinds(kinds, 2)
    claims.check_kinds([], 2)


def test_an_embedder_without_instructions_says_so(checkpoint):
    loaded = encoder.shared_encoder(models.read_embedder(checkpoint))
    found = claims.instruction_claim(loaded, ["the wing", "heat transfer", "a jet of air"], k=5)
    assert "it was not trained on instructions" in found.figure and found.verdict in (claims.HOLDS, claims.FAILS)
    alone = claims.instruction_claim(loaded, ["the wing"], k=5)
    assert alone.verdict == claims.UNMEASURED and "too few texts" in alone.figure


@pytest.mark.integration
def test_one_command_fills_the_table_and_the_report(checkpoint, backbone, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(check_claims, "UNIT_ROWS", 8)  # else the spectrum has no error
    (tmp_path / "docs.txt").write_text(
        "\n".join(["the wing in supersonic flow", "heat transfer to a cone", "", "air"] * 8)
    )
    (tmp_path / "pairs.tsv").write_text("the wing\ta cone\t1\nheat\theat\t5\na jet\tair\t3\nflow\tair flow\t4\n")
    options = {"model": checkpoint, "corpus": [str(tmp_path / "docs.txt")], "output_dir": str(tmp_path / "out")}
    with flagsaver.flagsaver(
        **options, backbone=backbone, scored_pairs=[str(tmp_path / "pairs.tsv")], kinds=["similarity"]
    ):
        check_claims.main([])
    out = capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "claims.json").read_text("utf-8"))
    assert [one["verdict"] for one in found["claims"]].count(claims.UNMEASURED) == 0 and len(found["claims"]) == 6
    table = (tmp_path / "out" / "claims.md").read_text("utf-8")
    assert table.count("\n") == 8 and "tracks similarity: pairs" in table and "claims.md and claims.json" in out
    report = (tmp_path / "out" / "store.zarr" / "run" / "report.html").read_text("utf-8")
    assert 'id="adjustment"' in report and "Contribution to the aligned tokens" in report
    with flagsaver.flagsaver(**options, kinds=["similarity"]), pytest.raises(ValueError, match="names 1 sets; 0 are"):
        check_claims.main([])


def test_the_default_backbone_is_the_registrys(checkpoint, tmp_path):
    (tmp_path / "docs.txt").write_text("air")
    options = {"model": checkpoint, "corpus": [str(tmp_path / "docs.txt")], "output_dir": str(tmp_path / "out")}
    with (
        flagsaver.flagsaver(**options, backbone="default"),
        pytest.raises(ValueError, match="--backbone=default: the registry names no backbone"),
    ):
        check_claims.main([])
