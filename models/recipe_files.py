"""What the files of sentence-transformers beside the weights say about pooling, prompts, length and normalisation."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keytokens.models.errors import ModelError
from keytokens.models.json_files import read_json, setting, shown

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
      ModelError: a module, pooling or setting that is not implemented or of a wrong type, a file that is not JSON, or a
        module outside the directory.
    """
    directory = Path(directory)
    paths = _module_paths(directory / "modules.json")
    if not paths:
        return RecipeFiles()
    if unknown := sorted(paths.keys() - _MODULES):
        raise ModelError(
            f"{directory / 'modules.json'} asks for {', '.join(unknown)}; implemented are "
            f"{', '.join(sorted(_MODULES))}. Vectors without that module would be those of another embedder."
        )
    if missing := sorted({"Transformer", "Pooling"} - paths.keys()):
        raise ModelError(f"{directory / 'modules.json'} has no {' and no '.join(missing)} module.")
    pooling_file = directory / paths["Pooling"] / "config.json"
    pooling = read_json(pooling_file, dict)
    include_prompt = setting(pooling, "include_prompt", bool, file=pooling_file)
    max_length, lowercase = _length_and_case(directory / paths["Transformer"])
    prompts, default_prompt = _prompts(directory / "config_sentence_transformers.json")
    return RecipeFiles(
        body=paths["Transformer"],
        pooling=_pooling_mode(pooling, pooling_file),
        include_prompt=True if include_prompt is None else include_prompt,
        normalize="Normalize" in paths,
        max_length=max_length,
        lowercase=lowercase,
        prompts=prompts,
        default_prompt=default_prompt,
    )


def _module_paths(file: Path) -> dict[str, str]:
    """The last part of each module's type -> its directory; what stands before it changes between versions."""
    paths = {}
    for module in read_json(file, list, missing=[]):
        if not isinstance(module, dict):
            raise ModelError(
                f"{file} lists {shown(module)}, which is no module with a type and a path; download it again."
            )
        kind, path = (setting(module, name, str, file=file) for name in ("type", "path"))
        if kind is None or path is None:
            raise ModelError(
                f"{file} lists the module {shown(module)}, which needs a type and a path, so that it can be found; "
                "download it again."
            )
        # By its name alone: links inside a checkpoint are the hub cache's way of storing it.
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise ModelError(
                f"{file} puts a module into {path!r}; modules lie inside the checkpoint, and a path that leaves it has "
                "other files read than those that were asked for. Move the module into the checkpoint's directory."
            )
        paths[kind.rsplit(".", 1)[-1]] = path
    return paths


def _pooling_mode(config: Mapping[str, Any], file: Path) -> str:
    if unknown := sorted(config.keys() - _POOLING_KEYS):
        raise ModelError(f"{file} sets {', '.join(unknown)}, which is not known here.")
    mode = config.get("pooling_mode") or [
        mode for name, mode in _BOOLEANS.items() if setting(config, name, bool, file=file)
    ]
    modes = [mode] if isinstance(mode, str) else mode
    if not isinstance(modes, list) or not all(isinstance(each, str) for each in modes):
        raise ModelError(
            f"{file} says pooling_mode={shown(mode)}, which has to be the name of a pooling: what was meant cannot be "
            "guessed. Correct the file, or choose one with pooling=..."
        )
    if len(modes) != 1:
        raise ModelError(
            f"{file} asks for {len(modes)} poolings ({', '.join(modes)}): their concatenation is not in the space that "
            "an LM head reads. Choose one with pooling=..."
        )
    return modes[0]


def _length_and_case(directory: Path) -> tuple[int | None, bool]:
    """Tokens of a text, and whether it is lowercased."""
    for file in (directory / name for name in _LENGTH_FILES):
        if content := read_json(file, dict, missing={}):
            length = setting(content, "max_seq_length", int, file=file)
            if length is not None and length < 1:
                raise ModelError(
                    f"{file} says max_seq_length={length}; it has to be at least 1, or no text would be read. Correct "
                    "the file, or download it again."
                )
            return length, setting(content, "do_lower_case", bool, file=file) or False
    return None, False


def _prompts(file: Path) -> tuple[dict[str, str], str | None]:
    """Prompts by name, and the name of the one that is used unasked."""
    general = read_json(file, dict, missing={})
    prompts = setting(general, "prompts", dict, file=file) or {}
    texts = {name: setting(prompts, name, str, file=file) for name in prompts}
    named = {name: text for name, text in texts.items() if text is not None}
    return named, setting(general, "default_prompt_name", str, file=file)
