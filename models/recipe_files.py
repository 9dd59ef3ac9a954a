"""What the files of sentence-transformers beside the weights say about pooling, prompts, length and normalisation."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keytokens.models.errors import ModelError

# Before version 5 of sentence-transformers: one boolean per pooling.
_BOOLEANS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_DIMENSION = {"word_embedding_dimension", "embedding_dimension"}
_POOLING_KEYS = {*_BOOLEANS, *_DIMENSION, "pooling_mode", "include_prompt"}
_MODULES = {"Transformer", "Pooling", "Dense", "Normalize"}
# One name per architecture in old versions; the content is the same.
_LENGTH_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet", "transformer")
)


@dataclasses.dataclass(frozen=True)
class RecipeFiles:
    """The parts of a recipe that a checkpoint's own files give; None where they say nothing.

    Attributes:
      body: subdirectory with config.json and weights, "" for the checkpoint's own.
      pooling: how token states become one vector.
      include_prompt: whether the prompt's tokens are pooled.
      normalize: whether vectors are scaled to unit length.
      max_length: tokens.
      lowercase: whether texts are lowercased first.
      prompts: by name.
      default_prompt: the name of the one that is used unasked.
    """

    body: str = ""
    pooling: str | None = None
    include_prompt: bool | None = None
    normalize: bool | None = None
    max_length: int | None = None
    lowercase: bool | None = None
    prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    default_prompt: str | None = None


def read_recipe_files(directory: str | Path) -> RecipeFiles:
    """What modules.json and the files that it names say; an empty answer where there is no modules.json.

    Dense modules are left out on purpose: what they return is not in the space that the LM head reads.

    Raises:
      ModelError: a module, pooling or setting that is not implemented, or a file that is not JSON.
    """
    directory = Path(directory)
    modules = _read_json(directory / "modules.json", default=[])
    if not modules:
        return RecipeFiles()
    # The last part of the type: what stands before it changes between versions.
    paths = {module["type"].rsplit(".", 1)[-1]: module["path"] for module in modules}
    if unknown := sorted(paths.keys() - _MODULES):
        raise ModelError(
            f"{directory / 'modules.json'} asks for {', '.join(unknown)}; implemented are "
            f"{', '.join(sorted(_MODULES))}. Vectors without that module would be those of another embedder."
        )
    if missing := sorted({"Transformer", "Pooling"} - paths.keys()):
        raise ModelError(f"{directory / 'modules.json'} has no {' and no '.join(missing)} module.")
    general = _read_json(directory / "config_sentence_transformers.json", default={})
    length = _read_length_file(directory / paths["Transformer"])
    pooling = _read_json(directory / paths["Pooling"] / "config.json", default=None)
    if pooling is None:
        raise ModelError(f"{directory / paths['Pooling'] / 'config.json'} is missing, and with it the pooling.")
    return RecipeFiles(
        body=paths["Transformer"],
        pooling=_pooling_mode(pooling, directory / paths["Pooling"] / "config.json"),
        include_prompt=pooling.get("include_prompt", True),
        normalize="Normalize" in paths,
        max_length=length.get("max_seq_length"),
        lowercase=length.get("do_lower_case", False),
        prompts={name: text for name, text in (general.get("prompts") or {}).items() if text is not None},
        default_prompt=general.get("default_prompt_name"),
    )


def _pooling_mode(config: Mapping[str, Any], file: Path) -> str:
    if unknown := sorted(config.keys() - _POOLING_KEYS):
        raise ModelError(f"{file} sets {', '.join(unknown)}, which is not known here.")
    mode = config.get("pooling_mode") or [mode for name, mode in _BOOLEANS.items() if config.get(name)]
    modes = [mode] if isinstance(mode, str) else list(mode)
    if len(modes) != 1:
        raise ModelError(
            f"{file} asks for {len(modes)} poolings ({', '.join(modes)}): their concatenation is not in the space that "
            "an LM head reads. Choose one with pooling=..."
        )
    return modes[0]


def _read_length_file(directory: Path) -> Mapping[str, Any]:
    found = (directory / name for name in _LENGTH_FILES)
    return next((_read_json(file, default={}) for file in found if file.is_file()), {})


def _read_json(file: Path, *, default: Any) -> Any:
    try:
        return json.loads(file.read_text("utf-8")) if file.is_file() else default
    except ValueError as error:
        raise ModelError(f"{file} is not valid JSON: {error}; download it again.") from error
