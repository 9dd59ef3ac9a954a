"""Logistic regression: the gradient of its loss vanishes, in the full space as well; symmetric cases by hand."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from keytokens.pipelines.analysis.logistic import fit_logistic


def loss(parameters, examples, positive, strength):
    """The definition, in the full space."""
    w, c = parameters[:-1], parameters[-1]
    signs = np.where(positive, 1, -1)
    weight = len(positive) / 2 / np.where(positive, positive.sum(), (~positive).sum())
    return w @ w / 2 + strength * np.sum(weight * np.log1p(np.exp(-signs * (examples @ w + c))))


@pytest.mark.parametrize(("m", "dimension", "strength"), [(30, 4, 1.0), (12, 60, 1.0), (30, 4, 50.0)])
def test_is_the_minimum(m, dimension, strength):
    rng = np.random.default_rng(m)
    examples = rng.normal(0, 1, (m, dimension))
    positive = np.arange(m) < m // 3
    w, c = fit_logistic(examples, positive, strength=strength)
    found = np.append(w, c)
    slope = scipy.optimize.approx_fprime(found, loss, 1e-7, examples, positive, strength)
    assert abs(slope).max() < 2e-3 * strength
    other = scipy.optimize.minimize(loss, np.zeros(dimension + 1), (examples, positive, strength), method="BFGS")
    assert loss(found, examples, positive, strength) <= other.fun + 1e-5 * strength


def test_balanced_classes_put_the_boundary_in_the_middle():
    # Ten times as many on one side: unbalanced, the boundary would move to the few.
    examples = np.array([[1.0]] + [[-1.0]] * 10)
    w, c = fit_logistic(examples, np.arange(11) == 0)
    assert w[0] > 0 and c == pytest.approx(0, abs=1e-4)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="both classes"):
        fit_logistic(np.ones((3, 2)), np.ones(3, bool))
