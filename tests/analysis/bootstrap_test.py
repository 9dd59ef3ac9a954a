"""Intervals hold what they promise: they cover the truth about as often as they say."""

import math

import numpy as np
import pytest

from keytokens.pipelines.analysis import bootstrap


def test_the_resampled_means_are_those_of_drawing_texts_with_replacement():
    """Few values, so that the bootstrap distribution is coarse: quantiles agree with the textbook's loop."""
    values = np.repeat([0.0, 0.25, 1.0], [30, 15, 55])
    rng = np.random.default_rng(1)
    means = rng.choice(values, (20_000, 100)).mean(1)
    found = bootstrap.mean_interval(values, num_resamples=20_000)
    assert found.estimate == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.006)
    assert found.count == 100


def test_ninety_five_of_a_hundred_intervals_cover_the_mean():
    rng = np.random.default_rng(2)
    samples = rng.binomial(1, 0.3, (300, 200))
    covered = [one.low <= 0.3 <= one.high for one in map(bootstrap.mean_interval, samples.astype(float))]
    assert 0.91 <= np.mean(covered) <= 0.98


def test_the_jackknife_of_a_mean_is_its_standard_error():
    """For one text a group it is the textbook's formula s / sqrt(n) exactly."""
    values = np.random.default_rng(3).normal(size=40)
    without = (values.sum() - values) / 39
    error = values.std(ddof=1) / math.sqrt(40)
    assert bootstrap.jackknife_error(without) == pytest.approx(error)
    found = bootstrap.jackknife_interval(values.mean(), without, count=40)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=1e-4)


def test_an_estimate_that_is_not_finite_has_no_error():
    found = bootstrap.jackknife_error(np.array([[1.0, math.inf, math.inf], [2.0, 3.0, math.inf]]))
    assert found[0] == pytest.approx(0.5) and np.isnan(found[1:]).all()


def test_nothing_to_estimate_from_is_no_number():
    assert math.isnan(bootstrap.mean_interval(np.zeros(0)).estimate)
    assert str(bootstrap.mean_interval(np.zeros(0))) == "-"
    assert math.isnan(bootstrap.jackknife_interval(0.5, np.zeros(0), count=3).low)
    assert not bootstrap.jackknife_interval(0.5, np.zeros(0), count=3).excludes(0.0)
    assert bootstrap.Interval(0.5, 0.4, 0.6, 9).excludes(0.0)
    assert str(bootstrap.Interval(0.5, 0.4, 0.6, 9)) == "0.500 [0.400, 0.600]"


def test_one_text_has_a_mean_but_no_interval():
    found = bootstrap.mean_interval(np.array([0.25]))
    assert (found.estimate, found.count) == (0.25, 1) and math.isnan(found.low) and math.isnan(found.high)
    assert not found.known and str(found) == "0.250 (no interval)"
    assert bootstrap.mean_interval(np.array([0.25, 0.5])).known
