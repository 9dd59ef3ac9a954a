"""Inputs for the selection tests: logits exact in float32, so that ties are real, and realistic ones."""

import numpy as np


def integers(rows: int, dim: int, vocabulary: int, *, largest: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Small integers: every product and sum is exact in any order and in bfloat16, and most logits are tied."""
    rng = np.random.default_rng(seed)
    shapes = (rows, dim), (vocabulary, dim)
    hidden, head = (rng.integers(-largest, largest + 1, shape).astype(np.float32) for shape in shapes)
    return hidden, head


def realistic(rows: int, dim: int, vocabulary: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A head as trained (decaying spectrum, varied norms, a common direction) and texts near some tokens."""
    rng = np.random.default_rng(seed)
    head = rng.standard_normal((vocabulary, dim)) * (0.5 + 1.5 * rng.random((vocabulary, 1)) ** 2)
    head *= np.arange(1, dim + 1) ** -0.5
    head += 2 * head.std() * rng.standard_normal((1, dim))
    meant = head[rng.integers(0, vocabulary, (rows, 20))].mean(1)
    hidden = 10 * (meant + 0.3 * head.std() * rng.standard_normal((rows, dim)))
    return hidden.astype(np.float32), head.astype(np.float32)


def adversarial(vocabulary: int, *, stride: int = 128, seed: int = 0) -> dict[str, np.ndarray]:
    """Finite logits [V] that break shortcuts: by order, by ties, and by where the winners stand."""
    rng = np.random.default_rng(seed)
    ids = np.arange(vocabulary)
    noise = rng.standard_normal(vocabulary)
    logits = {
        "ascending": ids,
        "descending": -ids,
        "all equal": np.full(vocabulary, 7),
        "all zero, signs mixed": np.where(ids % 2, 0.0, -0.0),
        "few values": rng.integers(0, 5, vocabulary),
        "winners side by side": np.where((ids >= vocabulary // 2) & (ids < vocabulary // 2 + 60), 100 + noise, noise),
        "winners one stride apart": np.where(ids % stride == 5, 100 + noise, noise),
        "ties straddling the k-th": np.where(ids % 37 == 0, 5.0, np.minimum(noise, 4.0)),
        "winners a float apart": 1 + 2.0**-23 * rng.permutation(vocabulary),
        "half of them at the lowest": np.where(ids % 2, np.finfo(np.float32).min, noise),
    }
    return {name: values.astype(np.float32) for name, values in logits.items()}


def designed(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (hidden [R, R], head [V, R]) whose logits are exactly `logits` [R, V], but for the sign of a zero."""
    return np.eye(len(logits), dtype=np.float32), np.ascontiguousarray(logits.T, np.float32)
