"""What must hold before a store is indexed or an index is searched, and what is said where it does not."""

from typing import Any

from keytokens import models
from keytokens.pipelines import encoder
from keytokens.pipelines.retrieval import index_run, query_table
from keytokens.pipelines.retrieval.options import IndexOptions, QueryOptions
from keytokens.pipelines.store import reader


def check_build(store: reader.StoreReader, options: IndexOptions) -> None:
    """Raises ValueError where the store lacks what an index of these options needs."""
    if index_run.needs_decoding(options) and not store.dims.save_embeddings:
        raise ValueError(
            f"{store.files.url} holds no embeddings, from which --decoding=whitened (and --centred, --without_first) "
            "selects key tokens. Run align_corpus with --save_embeddings into a new --output, or build this index with "
            "--decoding=plain, at a lower retrieval quality."
        )
    if not index_run.needs_decoding(options) and options.k > store.dims.k:
        raise ValueError(
            f"--k={options.k} is more than the {store.dims.k} key tokens a row of {store.files.url}. Lower it, or run "
            "align_corpus with a larger --k into a new --output."
        )
    if options.k > store.dims.vocab_size:
        raise ValueError(f"--k={options.k} is more than the {store.dims.vocab_size} tokens of the vocabulary.")
    if (options.literal != "none" or options.in_text_only) and not store.dims.has_text_tokens:
        raise ValueError(
            f"{store.files.url} does not hold the texts' own tokens; it was written by an older version. Run "
            "align_corpus again into a new --output, or build with --literal=none."
        )


def check_embedder(loaded: encoder.Encoder, options: IndexOptions, *, with_query_table: bool = False) -> None:
    """Raises ValueError where the embedder cannot have an index of these options, or a table of token vectors."""
    if "transform" in loaded.embedder.params and (options.centred or options.without_first):
        raise ValueError(
            f"{loaded.embedder.config.name} transforms embeddings before its LM head, so the store's mean and first "
            "component are not those of what is decoded. Leave centred and without_first out."
        )
    if with_query_table and (reason := query_table.refusal(loaded)) is not None:
        raise ValueError(f"--query_table: {reason}")


def other_index(store: reader.StoreReader, there: dict[str, Any], asked: dict[str, Any]) -> str:
    """What to say where an index of other options is there: which options differ, and what to do."""
    lines = [f"  {name}: stored {there.get(name)!r}, asked for {value!r}" for name, value in asked.items()
             if there.get(name) != value]  # fmt: skip
    return (
        f"{store.files.url} holds an index of other options or of an earlier store; nothing was changed. They differ "
        "in\n" + "\n".join(lines or ["  the store's identity"]) + "\nPass --replace to build it anew."
    )


def same_model(store: reader.StoreReader, config: models.EmbedderConfig) -> models.EmbedderConfig:
    """`config`, if its weights, tokenizer and head are those that wrote the store.

    Raises:
      ValueError: they are not.
    """
    stored, found = store.manifest["identity"]["model"], config.fingerprint()
    if differing := [name for name, value in found.items() if stored[name] != value]:
        raise ValueError(
            f"{config.name} is not the embedder that wrote {store.files.url}: {', '.join(differing)} differ, so "
            "queries and documents would not lie in one space. Give the same checkpoint with --model_path=DIRECTORY."
        )
    return config


def check_search(store: reader.StoreReader, index: IndexOptions, options: QueryOptions) -> None:
    """Raises ValueError where an index built with `index` cannot answer queries of `options`."""
    literal, mode = index.literal, options.mode
    if mode == "dense" and not store.dims.save_embeddings:
        raise ValueError(f"{store.files.url} holds no embeddings; run align_corpus with --save_embeddings.")
    if mode == "dense" and options.queries == "tokens":
        raise ValueError("--mode=dense compares embeddings, and --queries=tokens makes none.")
    if literal == "none" and mode in ("bm25", "fused"):
        raise ValueError(
            f"--mode={mode} needs the texts' own tokens, and this index was built with --literal=none. Build it "
            "again with --literal=separate --replace."
        )
    if literal == "summed" and mode in ("sparse", "bm25"):
        raise ValueError(
            f"--mode={mode}: this index was built with --literal=summed, so key tokens and literal tokens cannot "
            "be told apart. Search it with --mode=fused."
        )
