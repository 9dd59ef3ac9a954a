"""Where the vectors of a model come from: `[LABEL=]SOURCE`, one item of --models.

| SOURCE | vectors |
|---|---|
| all-minilm-l6-v2, a checkpoint directory, a hub id | our embedder; every word is a one-word text |
| lookup:NAME | the same model's input embeddings: the mean of the rows of the word's pieces |
| x.txt, x.vec, also .gz | GloVe, word2vec or fastText in text, with a header or without |
| x.bin, also .gz | binary word2vec |
| x.npy@words.txt, x.safetensors@words.txt, x.safetensors#tensor@words.txt | an array and its word list |
| DIR@words.txt, gs://...@words.txt | an array that TensorStore opens, and its word list |
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keytokens import models
from keytokens.pipelines.words import array_vectors, embedding, text_vectors, word2vec_binary
from keytokens.pipelines.words.vectors import WordVectors, spellings

_LOOKUP = "lookup:"
_TEXT = (".txt", ".vec", ".txt.gz", ".vec.gz")
_BINARY = (".bin", ".bin.gz")


@dataclasses.dataclass(frozen=True)
class Source:
    """One model of a study.

    Attributes:
      label: what the report calls it.
      kind: "one-word text", "input embeddings" or "precomputed".
      path: a file, an array, or the model's name.
      words_path: of the array's word list, or None.
      tensor: in a safetensors file, or None.
      config: of our model, or None for vectors that are there.
    """

    label: str
    kind: str
    path: str
    words_path: str | None = None
    tensor: str | None = None
    config: models.EmbedderConfig | None = None


def parse_source(item: str, **recipe: Any) -> Source:
    """The source that an item of --models names; a model's configuration is read, its weights are not.

    Args:
      item: as above.
      **recipe: of our models, as `models.read_embedder` takes it: dtype, pooling, prompt.

    Raises:
      ValueError: no such file or model.
    """
    label, equals, rest = item.partition("=")
    if not equals or "/" in label:
        label, rest = "", item
    path, at, words_path = rest.rpartition("@")
    if at:
        return _array(label, path, words_path)
    for suffixes in (_TEXT, _BINARY):
        if rest.endswith(suffixes):
            _must_exist(rest)
            return Source(label or pathlib.Path(rest).name.split(".")[0], "precomputed", rest)
    if rest.endswith((".npy", ".safetensors")) or "://" in rest:
        raise ValueError(f"{rest} says nothing of its words: give their list behind an @, {rest}@words.txt.")
    name = rest.removeprefix(_LOOKUP)
    config = models.read_embedder(name, **recipe)
    kind = "input embeddings" if rest.startswith(_LOOKUP) else "one-word text"
    short = pathlib.Path(name).name if pathlib.Path(name).exists() else name
    return Source(label or (f"{short} input" if kind == "input embeddings" else short), kind, name, config=config)


def load_source(source: Source, words: Sequence[str]) -> WordVectors:
    """The model's vectors: of `words` for our models and for large files, of all it has otherwise.

    Raises:
      ValueError: the file or array cannot be read, or none of the words is in it.
    """
    if source.config is not None:
        loaded = embedding.embed_words(source.config, words, lookup=source.kind == "input embeddings")
    elif source.words_path is not None:
        loaded = array_vectors.read_array(source.path, source.words_path, tensor=source.tensor)
    elif source.path.endswith(_BINARY):
        loaded = word2vec_binary.read_word2vec_binary(source.path, wanted=spellings(words))
    else:
        loaded = text_vectors.read_text_vectors(source.path, wanted=spellings(words))
    vectors = WordVectors(source.label, source.kind, loaded)
    if not vectors.words:
        raise ValueError(
            f"{source.path} has a vector for none of the {len(words):,} words asked for; is it of another language or "
            "spelling?"
        )
    return vectors


def parse_sources(items: Sequence[str], **recipe: Any) -> list[Source]:
    """All models of a study; arguments as for one.

    Raises:
      ValueError: as `parse_source`, or two have one label.
    """
    sources = [parse_source(item, **recipe) for item in items]
    labels = [source.label for source in sources]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise ValueError(f"--models names {', '.join(twice)} twice: tell them apart by LABEL=SOURCE.")
    return sources


def save_vectors(stem: pathlib.Path, vectors: WordVectors) -> None:
    """Writes STEM.npy, float32 unit vectors, and STEM.words.txt, to be read back as STEM.npy@STEM.words.txt."""
    np.save(f"{stem}.npy", vectors.unit, allow_pickle=False)
    pathlib.Path(f"{stem}.words.txt").write_text("".join(f"{word}\n" for word in vectors.words), "utf-8")


def _array(label: str, path: str, words_path: str) -> Source:
    path, _, tensor = path.partition("#")
    if "://" not in path:
        _must_exist(path)
    _must_exist(words_path)
    return Source(label or pathlib.Path(path).name.split(".")[0], "precomputed", path, words_path, tensor or None)


def _must_exist(path: str) -> None:
    if not pathlib.Path(path).exists():
        raise ValueError(
            f"{path}: no such file. --models takes names of models and paths of vectors; --help lists them."
        )
