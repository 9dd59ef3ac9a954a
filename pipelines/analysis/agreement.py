"""Do two models find the same pairs similar? Rank correlations, linear CKA, the pairs on which they disagree.

M models, p pairs, n words, D and E the models' dimensions.
"""

import numpy as np
import scipy


def rank_correlations(cosines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spearman's rho and Kendall's tau-b between every two models, float64 [M, M] each.

    nan where a model gives all pairs one cosine.

    Args:
      cosines: [M, p], of the same pairs.

    Raises:
      ValueError: fewer than two pairs.
    """
    num_models, num_pairs = cosines.shape
    if num_pairs < 2:
        raise ValueError(f"{num_pairs} pair(s) have no rank correlation: two are needed.")
    spearman, kendall = np.eye(num_models), np.eye(num_models)
    for i in range(num_models):
        for j in range(i):
            spearman[i, j] = spearman[j, i] = spearman_rho(cosines[i], cosines[j])
            kendall[i, j] = kendall[j, i] = (
                np.nan
                if _constant(cosines[i], cosines[j])
                else scipy.stats.kendalltau(cosines[i], cosines[j]).statistic
            )
    return spearman, kendall


def spearman_rho(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation, ties at their mean rank; nan where it is not defined."""
    if len(x) < 2 or _constant(x, y):
        return float("nan")
    return float(scipy.stats.spearmanr(x, y).statistic)


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """||Y^T X||^2 / (||X^T X|| ||Y^T Y||) of centred x [n, D] and y [n, E] (Kornblith et al., 2019, eq. 6).

    1 for the same geometry up to rotation and scale, 0 for none in common; nan if all rows of one are equal.
    """
    x, y = (rows - rows.mean(0, dtype=np.float64) for rows in (x, y))
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.square(y.T @ x).sum() / norms) if norms > 0 else float("nan")


def clustered_order(agreement: np.ndarray) -> list[int]:
    """The models in the order of an average-linkage clustering on 1 - agreement [M, M]: neighbours agree most."""
    if len(agreement) < 3:
        return list(range(len(agreement)))
    distance = 1 - np.nan_to_num(agreement)
    np.fill_diagonal(distance, 0)
    condensed = scipy.spatial.distance.squareform((distance + distance.T) / 2, checks=False)
    tree = scipy.cluster.hierarchy.linkage(condensed, method="average", optimal_ordering=True)
    return [int(leaf) for leaf in scipy.cluster.hierarchy.leaves_list(tree)]


def largest_disagreements(x: np.ndarray, y: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The pairs whose ranks differ most: their numbers, and the differences of rank in shares of p, x's less y's."""
    difference = (scipy.stats.rankdata(x) - scipy.stats.rankdata(y)) / max(1, len(x))
    order = np.argsort(-np.abs(difference), kind="stable")[:count]
    return order, difference[order]


def _constant(*arrays: np.ndarray) -> bool:
    return any(np.ptp(array) == 0 for array in arrays)
