"""First step of a build: a block of rows becomes a small inverted index, sorted by token, in files of its own.

n rows of the block, P postings, F columns. A posting of a block is (row, weight of the key token, term frequency of the
literal token): BM25 needs the whole corpus's document frequencies and lengths, which only the second step knows.
"""

import functools

import numpy as np

from keytokens.pipelines import encoder
from keytokens.pipelines.analysis import ragged, sparse_coding
from keytokens.pipelines.retrieval import decoding, index_run, weighting
from keytokens.pipelines.store import arrays, reader
from keytokens.pipelines.store import files as store_files

_DECODED_ROWS = 4096


def process(run: index_run.IndexRun, block: tuple[int, int, int]) -> int:
    """Writes a block's part unless it is there; returns its number."""
    number, row0, row1 = block
    store = reader.StoreReader(run.store)
    if index_run.read_marker(store.files, run, "blocks", number) is not None:
        return number
    alive = ~np.asarray(arrays.open_array(store.files, "obs/dead_letter")[row0:row1].read().result())
    tokens = store.text_tokens(row0, row1) if run.options.literal != "none" or run.options.in_text_only else None
    key_rows, key_columns, weights = _key_postings(run, store, row0, row1, alive, tokens)
    part = _Part.of(run, store.dims.vocab_size, key_rows, key_columns, weights, tokens)
    part.write(store.files, number, row1 - row0)
    index_run.write_marker(
        store.files,
        run,
        "blocks",
        number,
        documents=int(alive.sum()),
        tokens=0 if tokens is None else int(tokens.lengths.sum()),
        postings=len(part.rows),
        largest=float(weights.max(initial=0)),
        squares=float((weights.astype(np.float64) ** 2).sum()),
    )
    return number


def part_path(number: int, name: str) -> str:
    """Where an array of a block's part lies: indptr, rows, weights, frequencies or lengths."""
    return f"{index_run.WORK}/parts/{number:08d}/{name}"


def _key_postings(
    run: index_run.IndexRun,
    store: reader.StoreReader,
    row0: int,
    row1: int,
    alive: np.ndarray,
    tokens: ragged.Ragged | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (counted from row0), token ids and weights of the block's key tokens, [P] each."""
    rows, columns, weights = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
    for start in range(row0, row1, _DECODED_ROWS):
        end = min(start + _DECODED_ROWS, row1)
        indices, logits = _logits(run, store, start, end)
        weight = weighting.weigh(logits, run.options.weighting)
        weight[~alive[start - row0 : end - row0]] = 0
        if run.options.in_text_only:
            assert tokens is not None
            for i in range(end - start):
                weight[i, ~np.isin(indices[i], tokens[start - row0 + i])] = 0
        weight = _normalised(run, store, indices, weight)
        at, rank = np.nonzero(weight)
        rows.append((at + start - row0).astype(np.int32))
        columns.append(indices[at, rank])
        weights.append(weight[at, rank])
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(weights)


def _logits(run: index_run.IndexRun, store: reader.StoreReader, row0: int, row1: int) -> tuple[np.ndarray, np.ndarray]:
    """Key tokens int32 [n, k] of the rows and their logits in units of the head's typical row, float32 [n, k]."""
    if index_run.needs_decoding(run.options):
        return _decoder(run).decode(store.embeddings(row0, row1), run.options.k)
    indices, values = store.ranked_postings(row0, row1)
    norms = np.asarray(arrays.open_array(store.files, "obs/norm")[row0:row1].read().result())
    typical = np.where(norms > 0, norms, 1)[:, None] * arrays.read(store.files, f"{index_run.RETRIEVAL}/typical_row")
    return indices[:, : run.options.k], (values[:, : run.options.k] / typical).astype(np.float32)


def _normalised(
    run: index_run.IndexRun, store: reader.StoreReader, indices: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    if run.options.normalize == "none":
        return weights
    if run.options.normalize == "euclidean":
        return weighting.unit_rows(weights)
    head, found = _geometry(run)
    vectors = sparse_coding.reconstructions(indices, weights, head, found.matrix, found.mean_row)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(weights, lengths, out=np.zeros_like(weights), where=lengths > 0)


@functools.lru_cache(maxsize=2)
def _geometry(run: index_run.IndexRun) -> tuple[np.ndarray, decoding.EmbeddingMap]:
    return decoding.head_matrix(encoder.shared_encoder(run.model)), decoding.read_map(store_files.StoreFiles(run.store))


@functools.lru_cache(maxsize=2)
def _decoder(run: index_run.IndexRun) -> decoding.Decoder:
    return decoding.Decoder.of(encoder.shared_encoder(run.model), decoding.read_map(store_files.StoreFiles(run.store)))


class _Part:
    """A block's postings sorted by column, then row."""

    def __init__(self, indptr, rows, weights, frequencies, lengths):
        self.indptr, self.rows, self.weights = indptr, rows, weights
        self.frequencies, self.lengths = frequencies, lengths

    @classmethod
    def of(cls, run, vocab_size, key_rows, key_columns, weights, tokens) -> "_Part":
        columns = index_run.num_columns(run.options, vocab_size)
        size = np.int64(run.block_rows)
        keys = key_columns.astype(np.int64) * size + key_rows
        order = np.argsort(keys)
        keys, weights = keys[order], weights[order]
        lengths = np.zeros(0, np.int32)
        frequencies = np.zeros(len(keys), np.float32)
        if run.options.literal != "none":
            lengths = tokens.lengths.astype(np.int32)
            offset = vocab_size if run.options.literal == "separate" else 0
            literal, counts = np.unique((tokens.ids.astype(np.int64) + offset) * size + tokens.rows, return_counts=True)
            both = np.union1d(keys, literal)
            spread = [np.zeros(len(both), np.float32), np.zeros(len(both), np.float32)]
            spread[0][np.searchsorted(both, keys)] = weights
            spread[1][np.searchsorted(both, literal)] = counts
            keys, weights, frequencies = both, spread[0], spread[1]
        indptr = np.searchsorted(keys, np.arange(columns + 1, dtype=np.int64) * size).astype(np.int64)
        return cls(indptr, (keys % size).astype(np.int32), weights, frequencies, lengths)

    def write(self, files: store_files.StoreFiles, number: int, num_rows: int) -> None:
        lengths = self.lengths if len(self.lengths) else np.zeros(num_rows, np.int32)
        for name, value in (
            ("indptr", self.indptr),
            ("rows", self.rows),
            ("weights", self.weights),
            ("frequencies", self.frequencies),
            ("lengths", lengths),
        ):
            spec = index_run.flat_spec(part_path(number, name), str(value.dtype), len(value))
            array = arrays.create(files, spec)
            if len(value):
                array.write(value).result()
