"""How numbers, bins, markup and downloads of a page are written."""

import base64
import csv
import io
import json

import numpy as np
import pytest

from keytokens.pipelines.report import downloads, markup, numerals, posting_statistics
from keytokens.pipelines.report.figures import bin_names


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


def test_plain_strings_are_never_markup():
    assert markup.tag("p", "<b>", markup.Html("<i></i>"), ["&", None]) == "<p>&lt;b&gt;<i></i>&amp;</p>"
    assert (
        markup.tag("a", class_='"x', hidden=True, title=None, data_x=1) == '<a class="&quot;x" hidden data-x="1"></a>'
    )


def test_downloads_hold_their_numbers_and_any_text():
    rows = [{"token": 'a,"b"\n<script>', "texts": 3}, {"token": "\ud83e", "texts": None}]
    links = downloads.links("hubs", rows[:1], title="Hubs")
    assert "<script" not in links and links.count("<a ") == 2 and 'download="hubs.csv"' in links
    encoded = links.split("base64,")[1].split('"')[0]
    assert list(csv.DictReader(io.StringIO(base64.b64decode(encoded).decode()))) == [
        {"token": 'a,"b"\n<script>', "texts": "3"}
    ]
    encoded = links.split("base64,")[2].split('"')[0]
    assert json.loads(base64.b64decode(encoded)) == rows[:1]
    assert "base64," in downloads.links("odd", rows, title="a lone surrogate")


def test_weights_fall_into_at_most_forty_bins():
    for scale in (0.5, 3.0, 90.0):
        values = np.random.default_rng(0).normal(0, scale, 500)
        floors, counts = np.unique(np.floor(values * 32).astype(int), return_counts=True)
        binned = posting_statistics._merged_bins(posting_statistics.Counter(dict(zip(floors, counts, strict=True))))
        assert 10 < len(binned.counts) <= 41
        np.testing.assert_array_equal(binned.counts, np.histogram(values, binned.edges)[0])
