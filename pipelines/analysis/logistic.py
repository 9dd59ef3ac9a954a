"""Logistic regression of a few hundred examples, ridge penalty, balanced classes: what LRCos asks for.

m examples of size D. With D above m, give coordinates in the examples' own span: the penalty keeps w in it.
"""

import numpy as np
import scipy


def fit_logistic(examples: np.ndarray, positive: np.ndarray, *, strength: float = 1.0) -> tuple[np.ndarray, float]:
    """Weights w float64 [D] and intercept c: P(positive | x) = 1 / (1 + exp(-w.x - c)).

    Minimises |w|^2 / 2 + strength * sum over examples of weight * log-loss, c not penalised, where the weights of
    either class sum to m / 2.

    Args:
      examples: [m, D].
      positive: bool [m].
      strength: of the data against the penalty (the inverse of ridge regression's lambda).

    Raises:
      ValueError: examples of one class only.
    """
    positive = np.asarray(positive, bool)
    num_positive = int(positive.sum())
    if not 0 < num_positive < len(positive):
        raise ValueError(f"{num_positive} of {len(positive)} examples are positive: both classes are needed.")
    points = np.column_stack([np.asarray(examples, np.float64), np.ones(len(positive))])
    penalty = np.append(np.ones(points.shape[1] - 1), 0.0)
    signs = np.where(positive, 1.0, -1.0)
    weight = strength * len(positive) / 2 / np.where(positive, num_positive, len(positive) - num_positive)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        margins = signs * (points @ parameters)
        slope = penalty * parameters - (weight * signs * scipy.special.expit(-margins)) @ points
        return penalty @ np.square(parameters) / 2 - weight @ scipy.special.log_expit(margins), slope

    def curvature_times(parameters: np.ndarray, direction: np.ndarray) -> np.ndarray:
        chance = scipy.special.expit(points @ parameters)
        return penalty * direction + (weight * chance * (1 - chance) * (points @ direction)) @ points

    # Of scipy's methods the one that only multiplies matrices with vectors: at this size the small LAPACK calls of
    # L-BFGS-B and of Newton's method wait for BLAS threads, 10 to 100 milliseconds each on a busy machine.
    found = scipy.optimize.minimize(
        loss, np.zeros(points.shape[1]), jac=True, hessp=curvature_times, method="trust-ncg", options={"gtol": 1e-6}
    )
    return found.x[:-1], float(found.x[-1])
