"""The model that a store was written with, found again: the same weights, the same recipe, or an error."""

from typing import Any

from keytokens import models
from keytokens.pipelines.store import reader


def config_of(store: reader.StoreReader, *, name: str | None = None, backbone: bool = False) -> models.EmbedderConfig:
    """What loads the store's embedder, or its backbone.

    Args:
      store: that a run has written.
      name: where the checkpoint lies now: a name, directory or hub id. Default: the name that the store recorded,
        which for a local directory is no path.
      backbone: the backbone instead of the embedder.

    Raises:
      ValueError: no backbone in the store, the checkpoint is not found, or it holds other weights.
    """
    described: dict[str, Any] | None = store.manifest["identity"]["backbone" if backbone else "model"]
    flag = "--backbone_path" if backbone else "--model_path"
    if described is None:
        raise ValueError(
            f"{store.files.url} was written without a backbone. Run align_corpus with --backbone=NAME "
            "--save_embeddings, into a new --output."
        )
    asked = name or described["name"]
    try:
        config = models.read_embedder(asked, recipe=models.Recipe(**described["recipe"]), dtype=described["dtype"])
    except models.ModelError as error:
        cure = "" if name else f" The store knows it by this name only; say where it lies with {flag}=DIRECTORY."
        raise ValueError(f"{asked}, which {store.files.url} was written with, cannot be read: {error}{cure}") from error
    found = config.fingerprint()
    differing = [key for key in ("weights_sha256", "head_sha256") if found[key] != described[key]]
    if differing:
        raise ValueError(
            f"{asked} is not the model that {store.files.url} was written with: {', '.join(differing)} differ, and "
            f"with it every logit. Give the same checkpoint with {flag}=DIRECTORY."
        )
    return config
