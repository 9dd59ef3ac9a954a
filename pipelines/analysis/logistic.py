"""Logistic regression of a few hundred examples, ridge penalty, balanced classes: what LRCos asks for.

m examples of size D; few examples in many dimensions, so it is fitted in the examples' own span.
"""

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.special


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
    # w lies in the span of the examples: fitted there, m unknowns instead of D.
    basis, coordinates = scipy.linalg.qr(np.asarray(examples, np.float64).T, mode="economic")
    points = coordinates.T
    signs = np.where(positive, 1.0, -1.0)
    balance = len(positive) / 2 / np.where(positive, num_positive, len(positive) - num_positive)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        w, c = parameters[:-1], parameters[-1]
        margins = signs * (points @ w + c)
        slopes = -strength * balance * signs * scipy.special.expit(-margins)
        value = w @ w / 2 - strength * balance @ scipy.special.log_expit(margins)
        return value, np.append(w + slopes @ points, slopes.sum())

    found = scipy.optimize.minimize(
        loss, np.zeros(points.shape[1] + 1), jac=True, method="L-BFGS-B", options={"gtol": 1e-6}
    )
    return basis @ found.x[:-1], float(found.x[-1])
