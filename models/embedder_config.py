"""Which embedder: everything but weights, picklable, so that a worker on another machine loads the same one."""

import dataclasses
from pathlib import Path
from typing import Any

from keytokens.models import fingerprint
from keytokens.models.checkpoint import weight_files
from keytokens.models.recipe import Recipe
from keytokens.models.spec import Spec


@dataclasses.dataclass(frozen=True)
class EmbedderConfig:
    """What `read_embedder` found.

    Attributes:
      name: as it was asked for.
      directory: of the checkpoint, or of the adapter that was asked for.
      tokenizer_directory: with the tokenizer's files.
      body_directory: with config.json and weights; often the same, or one inside.
      adapters: directories of LoRA adapters, added in this order.
      recipe: how texts become vectors.
      dtype: one of `loading.DTYPES`, of matrices and products; sums and everything between are float32.
      head_directory: the checkpoint whose head decodes; None for its own or tied one.
      model_type: which of `families.FAMILIES`.
      spec: of the transformer.
      hidden_size: D of an embedding.
      vocab_size: V, rows of the head.
      default_backbone: what the registry says it was trained from; "" where nothing is registered.
    """

    name: str
    directory: str
    tokenizer_directory: str
    body_directory: str
    adapters: tuple[str, ...]
    recipe: Recipe
    dtype: str
    head_directory: str | None
    model_type: str
    spec: Spec
    hidden_size: int
    vocab_size: int
    default_backbone: str = ""

    def fingerprint(self) -> dict[str, str]:
        """SHA-256 sums of weights, tokenizer, configuration and the head's weights, in hexadecimal."""
        adapted = [file for adapter in self.adapters for file in weight_files(adapter, "adapter_model")]
        configs = [Path(self.body_directory) / "config.json"]
        configs += [Path(adapter) / "adapter_config.json" for adapter in self.adapters]
        weights = fingerprint.sha256_of_files([*weight_files(self.body_directory), *adapted])
        head = fingerprint.sha256_of_files(weight_files(self.head_directory)) if self.head_directory else weights
        return {
            "weights_sha256": weights,
            "tokenizer_sha256": fingerprint.sha256_of_files(fingerprint.tokenizer_files(self.tokenizer_directory)),
            "config_sha256": fingerprint.sha256_of_files(configs),
            "head_sha256": head,
        }

    def identity(self) -> dict[str, Any]:
        """Everything that decides the embeddings, ready for JSON; nothing depends on where the files lie."""
        return {
            "name": self.name,
            "revision": self.revision,
            "recipe": dataclasses.asdict(self.recipe),
            "dtype": self.dtype,
            "hidden_size": self.hidden_size,
            "vocab_size": self.vocab_size,
            **self.fingerprint(),
        }

    @property
    def revision(self) -> str | None:
        """The hub's commit, where the directory is a snapshot in its cache."""
        path = Path(self.directory)
        return path.name if path.parent.name == "snapshots" else None
