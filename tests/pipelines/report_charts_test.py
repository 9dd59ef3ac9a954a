"""The arithmetic of charts: scales, ticks, bars, and how numbers and markup are written."""

from xml.etree import ElementTree

import numpy as np
import pytest

from keytokens.pipelines.report import markup, numerals, scales, svg
from keytokens.pipelines.report.figures import bin_names


@pytest.mark.parametrize(
    ("low", "high", "log", "expected"),
    [
        (0, 10, False, [0, 2, 4, 6, 8, 10]),
        (-21.9, 0.4, False, [-20, -15, -10, -5, 0]),
        (0.97, 1.0, False, [0.97, 0.98, 0.99, 1.0]),
        (1, 1000, True, [1, 10, 100, 1000]),
        (1, 32, True, [1, 3, 10, 30]),
        (4, 6, True, [4, 4.5, 5, 5.5, 6]),
    ],
)
def test_ticks_are_round(low, high, log, expected):
    np.testing.assert_allclose(scales.Scale(low, high, 0, 100, log).ticks(), expected, atol=1e-12)


def test_a_scale_maps_by_hand():
    linear, log = scales.Scale(0, 10, 100, 0), scales.Scale(1, 100, 0, 50, log=True)
    assert [linear(0), linear(2.5), linear(10), linear(99)] == [100, 75, 0, 0]
    assert [log(1), log(10), log(100)] == pytest.approx([0, 25, 50])


@pytest.mark.parametrize("scale", [(1, 1, False), (0, 10, True), (0, float("inf"), False), (float("nan"), 1, False)])
def test_a_range_without_a_scale_is_refused(scale):
    low, high, log = scale
    with pytest.raises(ValueError, match="axis range"):
        scales.Scale(low, high, 0, 1, log)


def test_a_line_of_nothing_but_zeros_has_no_logarithm():
    axes = svg.Axes("Zeros", "x", "y", log_y=True)
    with pytest.raises(ValueError, match="no value of 'Zeros' can be drawn"):
        svg.line_chart(axes, [svg.Series("", np.arange(3.0), np.zeros(3))])


def test_bars_stand_on_zero_and_are_never_invisible():
    axes = svg.Axes("Bars", "x", "y", y_range=(-100.0, 100.0))
    root = ElementTree.fromstring(
        svg.bar_chart(axes, edges=np.arange(4.0), values=np.array([100.0, -50.0, 0.01]), names="abc", highlight=1)
    )
    bars = [element.attrib for element in root.iter("rect")]
    heights = [float(bar["height"]) for bar in bars]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.2)
    assert heights[2] == 1.0
    foot = float(bars[0]["y"]) + heights[0]
    assert float(bars[1]["y"]) == pytest.approx(foot, abs=0.2)
    assert [element.findtext("title") for element in root.iter("rect")] == ["a: 100", "b: \u221250", "c: 0.01"]
    assert [bar["class"] for bar in bars] == ["bar", "bar highlight", "bar"]


@pytest.mark.parametrize(
    ("edges", "integers", "expected"),
    [
        ([1, 2, 4, 8], True, ["1", "2 to 3", "4 to 8"]),
        ([0.0, 0.5, 1.0], False, ["0 to 0.5", "0.5 to 1"]),
        ([3.0, 5.5, 8.0], True, ["3 to 5", "6 to 8"]),
    ],
)
def test_bins_are_named_by_what_they_hold(edges, integers, expected):
    assert bin_names(np.array(edges), integers=integers) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.123456, "0.1235"), (12345.6, "12,346"), (-3.0, "\u22123"), (float("nan"), "undefined"), (np.inf, "∞")],
)
def test_numbers_read_as_numbers(value, expected):
    assert numerals.number(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(1500, "1.5k"), (2e6, "2M"), (-20, "\u221220"), (1e-5, "1e-5")])
def test_tick_labels_are_short(value, expected):
    assert numerals.short(value) == expected.replace("-", "\u2212")


def test_plain_strings_are_never_markup():
    assert markup.tag("p", "<b>", markup.Html("<i></i>"), ["&", None]) == "<p>&lt;b&gt;<i></i>&amp;</p>"
    assert (
        markup.tag("a", class_='"x', hidden=True, title=None, data_x=1) == '<a class="&quot;x" hidden data-x="1"></a>'
    )
