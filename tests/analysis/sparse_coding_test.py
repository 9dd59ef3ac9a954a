"""Sparse vectors against their dense definitions."""

import numpy as np

from keytokens.pipelines.analysis import ragged, sparse_coding


def test_a_reconstruction_is_the_weighted_sum_of_mapped_rows():
    rng = np.random.default_rng(0)
    head, matrix, mean = rng.normal(size=(20, 5)), rng.normal(size=(5, 5)), rng.normal(size=5)
    indices = np.stack([rng.choice(20, 4, replace=False) for _ in range(3)])
    weights = rng.random((3, 4))
    found = sparse_coding.reconstructions(indices, weights, head.astype(np.float32), matrix, mean)
    expected = [sum(weights[n, j] * matrix.T @ (head[indices[n, j]] - mean) for j in range(4)) for n in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_text_counts_once_for_each_of_its_tokens():
    tokens = ragged.Ragged.of([[1, 1, 3], [], [3]])
    vectors = np.array([[1.0, 2.0], [10.0, 10.0], [0.5, 0.0]])
    np.testing.assert_allclose(
        sparse_coding.sums_by_token(tokens, vectors, 5), [[0, 0], [1, 2], [0, 0], [1.5, 2], [0, 0]]
    )
