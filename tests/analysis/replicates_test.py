"""Errors from groups of units: the jackknife's, for numbers whose error is known."""

import numpy as np
import pytest

from keytokens.pipelines.analysis import replicates
from keytokens.pipelines.analysis.moments import Moments, PairMoments, merge_all


def units(seed: int, *, count: int = 20, rows: int = 50) -> list[PairMoments]:
    """Backbone embeddings around (3, 0, 0), the embedder's moved by (-5, 0, 0), both noisy."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(count):
        g = rng.normal(size=(rows, 3)) * [1.0, 0.5, 0.2] + [3.0, 0.0, 0.0]
        parts.append(PairMoments.of(g + rng.normal(size=(rows, 3)) - [5.0, 0.0, 0.0], g))
    return parts


def test_groups_hold_all_units_and_nothing_twice():
    parts = units(0, count=7)
    parts.insert(2, PairMoments.zero(3, has_backbone=True))
    groups = replicates.group_moments(parts, 3)
    assert [group.f.count for group in groups] == [150, 100, 100]
    np.testing.assert_allclose(merge_all(groups).f.mean, merge_all(parts).f.mean)
    assert len(replicates.group_moments(parts, 99)) == 7


def test_the_error_of_v_1_is_that_of_repeating_the_experiment():
    """v_1 is nearly the mean of noise of size 1 over 1,000 texts: an error of 1 / sqrt(1000) = 0.032."""
    errors = [replicates.spectrum_errors(replicates.group_moments(units(seed), 10)).variation[0] for seed in range(20)]
    assert np.mean(errors) == pytest.approx(0.032, rel=0.2)


def test_what_does_not_vary_has_no_error():
    part = PairMoments(Moments.of(np.diag([3.0, 2.0, 1.0])))
    errors = replicates.spectrum_errors([part] * 4)
    assert errors.variation is None and errors.num_groups == 4
    np.testing.assert_allclose(errors.singular_values["embedder"], 0.0, atol=1e-9)
    assert all(value == pytest.approx(0.0, abs=1e-9) for value in errors.numbers.values())


def test_one_group_has_no_error():
    with pytest.raises(ValueError, match="two work units at least"):
        replicates.spectrum_errors(units(0, count=1))
