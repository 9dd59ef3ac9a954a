"""A store of a tiny model with embeddings and an index, and the index's definition worked out densely."""

import dataclasses
import functools
import pathlib
import tempfile

import numpy as np

from keytokens import models
from keytokens.pipelines import cli, encoder
from keytokens.pipelines.analysis import whitening
from keytokens.pipelines.retrieval import build
from keytokens.pipelines.retrieval.options import IndexOptions
from keytokens.pipelines.store import reader
from tests import small_run

OPTIONS = IndexOptions(k=12)
# Five blocks of the 90 rows, all of one shape: each shape is a program to compile.
BLOCK_ROWS, SHARD_POSTINGS = 18, 256


def model() -> models.EmbedderConfig:
    """The tiny embedder of every store here."""
    return models.read_embedder(str(small_run.model_dir()))


def store(directory: pathlib.Path, **changes) -> str:
    """A finished store of 90 rows, of which five are dead letters."""
    asked = small_run.options(directory, save_embeddings=True, **changes)
    small_run.launch(asked)
    return asked.output


def build_index(url: str, options: IndexOptions = OPTIONS, **sizes) -> dict:
    """Builds on FnApiRunner, in several blocks and shards unless told otherwise."""
    sizes = {"block_rows": BLOCK_ROWS, "shard_postings": SHARD_POSTINGS, **sizes}
    return build.build(url, options, cli.beam_options([]), **{"model": model(), **sizes})


@functools.cache
def _contents(indexed: bool) -> dict[str, bytes]:
    """What `copy` writes: made once for all tests of a process, which then run and compile the same once."""
    with tempfile.TemporaryDirectory(prefix="keytokens_small_index_") as directory:
        if not indexed:
            return small_run.contents(store(pathlib.Path(directory)))
        url = copy(pathlib.Path(directory))
        build_index(url, with_query_table=True)
        return small_run.contents(url)


def copy(directory: pathlib.Path, *, indexed: bool = False) -> str:
    """A store as of `store` that the caller may change; with the index of OPTIONS and a query table if `indexed`."""
    url = directory / "out.zarr"
    for key, value in _contents(indexed).items():
        (url / key).parent.mkdir(parents=True, exist_ok=True)
        (url / key).write_bytes(value)
    return str(url)


@dataclasses.dataclass(frozen=True)
class Dense:
    """What an index of `options` must hold: key and literal weights, float [N, V] each."""

    key: np.ndarray
    literal: np.ndarray


def reference(url: str, options: IndexOptions = OPTIONS) -> Dense:
    """The index by its definition, a document and a token at a time."""
    opened = reader.StoreReader(url)
    dims = opened.dims
    head = np.asarray(encoder.shared_encoder(model()).embedder.head.weight, np.float64)
    matrix, mean = np.eye(dims.hidden_size) / np.linalg.norm(head, axis=1).mean(), np.zeros(dims.hidden_size)
    if options.decoding == "whitened":
        matrix, mean = whitening.head_whitening([head])
    rows = (head - mean) @ matrix
    hidden, alive = opened.embeddings(0, dims.num_rows).astype(np.float64), ~opened.column("dead_letter")
    key = np.zeros((dims.num_rows, dims.vocab_size))
    for row in np.flatnonzero(alive):
        logits = rows @ (hidden[row] / np.linalg.norm(hidden[row]))
        best = np.argsort(-logits, kind="stable")[: options.k]
        weights = np.maximum(logits[best], 0)
        weights = {"logit": weights, "log": np.log(1 + 10 * weights), "one": (weights > 0) * 1.0}[options.weighting]
        length = {
            "reconstruction": np.linalg.norm(weights @ rows[best]),
            "euclidean": np.linalg.norm(weights),
            "none": 1.0,
        }[options.normalize]
        key[row, best] = weights / length
    df = (key > 0).sum(0)
    key[:, df > options.hub_share * alive.sum()] = 0
    if options.max_postings:
        for token in range(dims.vocab_size):
            key[np.argsort(-key[:, token], kind="stable")[options.max_postings :], token] = 0
    return Dense(key, _literal(opened, alive, options))


def _literal(opened: reader.StoreReader, alive: np.ndarray, options: IndexOptions) -> np.ndarray:
    dims = opened.dims
    texts = [opened.text_tokens(0, dims.num_rows)[row].tolist() for row in range(dims.num_rows)]
    mean_length = sum(map(len, texts)) / alive.sum()
    found = np.zeros((dims.num_rows, dims.vocab_size))
    for token in range(dims.vocab_size):
        df = sum(token in text for text in texts)
        for row, text in enumerate(texts):
            if token in text:
                tf, idf = text.count(token), np.log(1 + (alive.sum() - df + 0.5) / (df + 0.5))
                norm = options.k1 * (1 - options.b + options.b * len(text) / mean_length)
                found[row, token] = idf * (options.k1 + 1) * tf / (tf + norm)
    return found
