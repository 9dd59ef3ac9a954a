"""PEFT LoRA adapters: what they add to the weights of the checkpoint they were trained over."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keytokens.models.checkpoint import open_checkpoint
from keytokens.models.errors import ModelError, raise_together
from keytokens.models.families import Family
from keytokens.models.json_files import read_json, setting
from keytokens.models.parameters import strip_root
from keytokens.models.stored import StoredTensor, unreadable

CONFIG_FILE = "adapter_config.json"
# PEFT wraps the model once, whatever class it is of.
_WRAPPER = "base_model.model."
# Attributes implemented for these values only. Absent ones had the first of them when they did not exist yet.
_FIXED: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "modules_to_save": (None, []),
    "fan_in_fan_out": (False,),
    "use_dora": (False,),
    "use_qalora": (False,),
    "lora_bias": (False,),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "alora_invocation_tokens": (None,),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
    "layer_replication": (None,),
    "megatron_config": (None,),
    "arrow_config": (None,),
    "eva_config": (None,),
    "corda_config": (None,),
    "loftq_config": ({}, None),
    "velora_config": (None,),
    "lora_ga_config": (None,),
    "use_bdlora": (None, False),
    "monteclora_config": (None,),
    "tinylora_config": (None,),
    # Others start from changed base weights.
    "init_lora_weights": (True, False, "gaussian"),
}
# Beyond any model's width, and far from float32's limits.
_LARGEST = 1 << 24
_READ = {"r", "lora_alpha", "use_rslora", "base_model_name_or_path"}
# What they are about is in the tensors' names, or concerned training.
_IGNORED = {
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "lora_dropout", "inference_mode"),
    *("task_type", "revision", "auto_mapping", "peft_version", "runtime_config", "megatron_core", "qalora_group_size"),
    *("enable_lora", "merge_weights", "ensure_weight_tying"),
}


@dataclasses.dataclass(frozen=True)
class Adapter:
    """One adapter: weight -> what its two matrices make together.

    Attributes:
      directory: of its files.
      scale: alpha / r, or alpha / sqrt(r) with rank-stabilised LoRA (arXiv 2312.03732).
      pairs: tensor of the base, root stripped -> A [r, in] and B [out, r].
    """

    directory: str
    scale: float
    pairs: Mapping[str, tuple[StoredTensor, StoredTensor]]

    def delta(self, name: str) -> np.ndarray | None:
        """What is added to the tensor, float32 [out, in]; None where it is not adapted."""
        if name not in self.pairs:
            return None
        a, b = (half.read().astype(np.float32) for half in self.pairs[name])
        return np.float32(self.scale) * (b @ a)


def is_adapter(directory: Path) -> bool:
    """Whether the directory holds an adapter and no model of its own."""
    weights = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
    return (directory / CONFIG_FILE).is_file() and not any((directory / name).is_file() for name in weights)


def read_adapter_config(directory: str | Path) -> dict[str, Any]:
    """The adapter's configuration, every attribute accounted for.

    Raises:
      ModelError: attributes that are unknown, or have a value that is not implemented, all at once; or a file that is
        none, or numbers that no adapter has.
    """
    file = Path(directory) / CONFIG_FILE
    if not file.is_file():
        raise ModelError(f"{directory} has no {CONFIG_FILE}, so it is no PEFT adapter; give the directory of one.")
    config = read_json(file, dict)
    problems = []
    for name, value in config.items():
        if name in _FIXED:
            if value not in _FIXED[name]:
                problems.append(f"{name}={value!r}: only {' or '.join(map(repr, _FIXED[name]))} is implemented")
        elif name not in _READ | _IGNORED:
            problems.append(f"{name}={value!r}: an attribute that is not known here")
    problems += [f"{name} is missing" for name in ("r", "lora_alpha", "peft_type") if name not in config]
    raise_together(problems, where=str(file), cure="Merge the adapter into its base with PEFT, and give the result.")
    raise_together(
        [*_impossible(config)], where=str(file), cure="No adapter has such numbers; download the file again."
    )
    for name, kind in (("use_rslora", bool), ("base_model_name_or_path", str)):
        setting(config, name, kind, file=file)
    return config


def _impossible(config: Mapping[str, Any]) -> Iterator[str]:
    rank, alpha = config["r"], config["lora_alpha"]
    if type(rank) is not int or not 1 <= rank <= _LARGEST:
        yield f"r={rank!r}: the rank must be a whole number from 1 to {_LARGEST:,}"
    if type(alpha) not in (int, float) or not abs(alpha) <= _LARGEST:
        yield f"lora_alpha={alpha!r}: must be a number, of at most {_LARGEST:,}"


def open_adapter(directory: str, family: Family, base: Mapping[str, StoredTensor]) -> tuple[Adapter, list[str]]:
    """The adapter and what does not fit, one line each.

    Args:
      directory: of the adapter.
      family: of the base.
      base: the base's tensors, roots stripped.
    """
    config = read_adapter_config(directory)
    stored = open_checkpoint(directory, "adapter_model")
    short = {strip_root(name.removeprefix(_WRAPPER), family.roots): tensor for name, tensor in stored.items()}
    pairs: dict[str, tuple[StoredTensor, StoredTensor]] = {}
    problems = []
    for name in sorted(short):
        stem, _, half = name.rpartition(".lora_")
        if half not in ("A.weight", "B.weight"):
            problems.append(f"{name} {list(short[name].shape)} is neither a lora_A nor a lora_B")
        elif half == "A.weight":
            other = f"{stem}.lora_B.weight"
            if other not in short:
                problems.append(f"{name} has no {other}")
            else:
                pairs[f"{stem}.weight"] = short[name], short[other]
        elif f"{stem}.lora_A.weight" not in short:
            problems.append(f"{name} has no {stem}.lora_A.weight")
    problems += _misfits(pairs, base, rank=config["r"])
    scale = config["lora_alpha"] / (config["r"] ** 0.5 if config.get("use_rslora") else config["r"])
    return Adapter(str(directory), scale, pairs), [f"adapter {directory}: {problem}" for problem in problems]


def _misfits(
    pairs: Mapping[str, tuple[StoredTensor, StoredTensor]], base: Mapping[str, StoredTensor], *, rank: int
) -> Iterable[str]:
    for name, (a, b) in pairs.items():
        stem = name.removesuffix(".weight")
        if wrong := [*_unusable(f"{stem}.lora_A.weight", a), *_unusable(f"{stem}.lora_B.weight", b)]:
            yield from wrong
        elif name not in base:
            yield f"it changes {name} {[b.shape[0], a.shape[-1]]}, which the base does not have"
        elif (b.shape[0], a.shape[-1]) != base[name].shape:
            yield f"it changes {name} as {[b.shape[0], a.shape[-1]]}, which is {list(base[name].shape)} in the base"
        elif a.shape[0] != rank or b.shape[-1] != rank:
            yield f"{name} has rank {a.shape[0]} and {b.shape[-1]}, {CONFIG_FILE} says r={rank}"


def _unusable(name: str, half: StoredTensor) -> list[str]:
    """Why a half cannot be multiplied: one line, or none."""
    if len(half.shape) != 2:
        return [f"{name} is {list(half.shape)}, and has to be a matrix"]
    return unreadable(name, half)
