"""Ideas for better key-token retrieval that are no options of the product, because none wins on every collection.

  python tests/benchmarks/retrieval_ideas.py --store=results/cranfield/store.zarr --beir_dir=cranfield

prints nDCG@10 and its ratio to dense of each idea on a store with embeddings (`evaluate_retrieval` makes one); the
first line is the product's default. All use 256 key tokens a document, 512 a query, weights divided by the length of
the vector that they stand for, and the root of idf. The last two columns are the tokens that keep a weight and the
cosine of what they stand for with the embedding. `--idea="least squares" --idea=pursuit` measures only ideas so named.
"""

import argparse
from collections.abc import Callable

import numpy as np

from keytokens import models
from keytokens.pipelines.analysis import bm25
from keytokens.pipelines.retrieval import beir, weighting
from keytokens.pipelines.retrieval.bench import Bench, Lists
from keytokens.pipelines.store import reader

K, M = 256, 512
_BLOCK = 16  # texts whose tokens' rows stay in a processor's cache while least squares goes over them: 3 times faster
Sparse = tuple[np.ndarray, np.ndarray]  # token ids and weights, [n, k] each


def top(logits: np.ndarray, k: int) -> Sparse:
    """The k largest of each row, not in order, and their values without negatives."""
    ids = np.argpartition(-logits, k - 1, axis=1)[:, :k]
    return ids, np.maximum(np.take_along_axis(logits, ids, 1), 0)


def non_negative_weights(rows: np.ndarray, target: np.ndarray, start: np.ndarray, *, steps: int) -> np.ndarray:
    """Weights s >= 0 that bring sum_t s_t a_t closer to the target: accelerated projected gradient (FISTA).

    Args:
      rows: [n, k, D], a_t of every text's tokens.
      target: [n, D].
      start: [n, k].
      steps: of the gradient.
    """
    x = rows.sum(1)
    for _ in range(8):  # the largest eigenvalue of A^T A, whose inverse is the step
        x = ((rows @ x[..., None]).transpose(0, 2, 1) @ rows)[:, 0]
        length = np.linalg.norm(x, axis=1, keepdims=True)
        x = x / np.maximum(length, 1e-30)
    first = (start[:, None] @ rows)[:, 0]
    s = start * ((first * target).sum(1) / np.maximum((first * first).sum(1), 1e-30))[:, None]
    y, momentum = s, 1.0
    for _ in range(steps):
        residual = target - (y[:, None] @ rows)[:, 0]
        new = np.maximum(y + (rows @ residual[..., None])[..., 0] / np.maximum(1.1 * length, 1e-30), 0)
        following = (1 + np.sqrt(1 + 4 * momentum * momentum)) / 2
        y, s, momentum = new + (momentum - 1) / following * (new - s), new, following
    return s


class Ideas:
    """The ideas as functions from a block of unit embeddings to sparse documents.

    Args:
      head: [V, D].
    """

    def __init__(self, head: np.ndarray):
        self._mean = head.mean(0)
        values, vectors = np.linalg.eigh(np.cov((head - self._mean).T, bias=True))
        self._spectrum, self._head = (values, vectors), head
        self.rows = self.whitened(1.0)

    def whitened(self, power: float) -> np.ndarray:
        """(e_t - m) C^(-power / 2), rows of unit mean square."""
        values, vectors = self._spectrum
        rows = ((self._head - self._mean) @ ((vectors * values ** (-power / 2)) @ vectors.T)).astype(np.float32)
        return rows / np.sqrt((rows**2).sum(1).mean())

    def by_reconstruction(self, unit: np.ndarray, ids: np.ndarray, weights: np.ndarray, steps: int) -> Sparse:
        """The weights refined by non-negative least squares."""
        return ids, non_negative_weights(self.rows[ids], unit, weights, steps=steps)

    def pursued(self, unit: np.ndarray, steps: int) -> Sparse:
        """Half the tokens by logit, half by what the first half leaves, then all weights refined."""
        ids, weights = top(unit @ self.rows.T, K // 2)
        _, weights = self.by_reconstruction(unit, ids, weights, steps)
        left = (unit - (weights[:, None] @ self.rows[ids])[:, 0]) @ self.rows.T
        np.put_along_axis(left, ids, -np.inf, 1)
        more, further = top(left, K // 2)
        return self.by_reconstruction(unit, np.hstack([ids, more]), np.hstack([weights, further]), steps)

    def all(self) -> dict[str, tuple[np.ndarray, Callable[[np.ndarray], Sparse]]]:
        """Name -> (rows that queries are decoded with, documents)."""
        rows = self.rows
        half, most = self.whitened(0.5), self.whitened(0.7)
        norms = np.linalg.norm(rows, axis=1)
        unit_rows = rows / norms[:, None]

        def plain(a: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], Sparse]]:
            return a, lambda unit: top(unit @ a.T, K)

        def weighed(unit: np.ndarray) -> Sparse:
            ids, weights = top(unit @ rows.T, K)
            return ids, weights * norms[ids]

        def refined(steps: int) -> Callable[[np.ndarray], Sparse]:
            return lambda unit: self.by_reconstruction(unit, *top(unit @ rows.T, K), steps)

        return {
            "default: whitened head": plain(rows),
            "half whitened, C^(-1/4)": plain(half),
            "whitened by C^(-0.35)": plain(most),
            "whitened, rows of unit length": plain(unit_rows),
            "whitened, weights times token norm": (rows, weighed),
            "whitened, least squares, 5 steps": (rows, refined(5)),
            "whitened, least squares, 20 steps": (rows, refined(20)),
            "whitened, matching pursuit in two stages, 5 steps": (rows, lambda unit: self.pursued(unit, 5)),
        }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", required=True)
    parser.add_argument("--beir_dir", required=True)
    parser.add_argument("--model", default="all-minilm-l6-v2")
    parser.add_argument("--idea", action="append", help="only ideas whose names contain this; may be repeated")
    asked = parser.parse_args()
    store = reader.StoreReader(asked.store)
    bench = Bench(models.read_embedder(asked.model), beir.read_collection(asked.beir_dir), store)
    dense = bench.dense()["nDCG@10"]
    ideas = Ideas(bench.head)
    documents, queries = weighting.unit_rows(bench.hidden), weighting.unit_rows(bench.queries.hidden)
    print(f"dense {dense:.4f}\n{'idea':<52} nDCG@10  of dense  postings/query  tokens/text  cosine")
    wanted = {name: idea for name, idea in ideas.all().items() if any(part in name for part in asked.idea or [""])}
    if not wanted:
        parser.error(f"--idea={asked.idea} is in no name of: {'; '.join(ideas.all())}.")
    for name, (rows, decode) in wanted.items():
        blocks = [decode(documents[start : start + _BLOCK]) for start in range(0, len(documents), _BLOCK)]
        ids, weights = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        weights = weights * bench.alive[:, None]
        vectors = [(weights[i : i + 128, None] @ rows[ids[i : i + 128]])[:, 0] for i in range(0, len(ids), 128)]
        stands_for = np.concatenate(vectors)
        lengths = np.linalg.norm(stands_for, axis=1)
        weights = weights / np.maximum(lengths, 1e-30)[:, None]
        cosine = (stands_for * documents).sum(1)[bench.alive] / np.maximum(lengths[bench.alive], 1e-30)
        at, rank = np.nonzero(weights)
        lists = Lists(ids[at, rank], at, weights[at, rank], len(rows))
        idf = bm25.idf(lists.lengths, int(bench.alive.sum())) ** 0.5
        asked_for = []
        for i in range(len(queries)):
            token, weight = (part[0] for part in top(queries[i : i + 1] @ rows.T, M))
            asked_for.append((token, (weight * idf[token]).astype(np.float32)))
        found = bench.ranked(lists, asked_for)
        print(
            f"{name:<52} {found['nDCG@10']:.4f}   {found['nDCG@10'] / dense:.3f}     {found['postings']:<14,.0f}  "
            f"{(weights > 0).sum(1)[bench.alive].mean():<11.0f}  {cosine.mean():.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
