"""Tiny checkpoints whose every weight follows from its name: golden files need not store them, nor torch make them.

Weights are far from Hugging Face's initial ones on purpose: with those, a missing soft-cap or the wrong gelu change
nothing that a test could see.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

_NORMS = ("norm", "ln_", "layernorm")


def tensor_values(name: str, shape: tuple[int, ...], *, centred_norms: bool, kind: str = "") -> np.ndarray:
    """float32 values of a tensor: matrices N(0, 0.15), vectors N(0, 0.3), norm weights around 1 (Gemma: around 0).

    Args:
      name: decides the values.
      shape: of the tensor.
      centred_norms: norm weights are around 0.
      kind: the tensor's name in its checkpoint, where `name` says more.
    """
    kind = kind or name
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    values = rng.standard_normal(shape).astype(np.float32) * np.float32(0.15 if len(shape) > 1 else 0.3)
    is_norm = len(shape) == 1 and kind.endswith("weight") and any(part in kind.lower() for part in _NORMS)
    return values + np.float32(is_norm and not centred_norms)


def make_tensors(shapes: Mapping[str, tuple[int, ...]], *, model_type: str) -> dict[str, np.ndarray]:
    """All tensors of a checkpoint."""
    centred = model_type.startswith("gemma")
    return {name: tensor_values(name, tuple(shape), centred_norms=centred) for name, shape in shapes.items()}


def write_checkpoint(
    directory: Path,
    config: Mapping[str, object],
    tensors: Mapping[str, np.ndarray],
    *,
    num_shards: int = 1,
    dtype: str = "float32",
) -> Path:
    """Writes config.json and safetensors, with an index if there are several; returns the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config), "utf-8")
    kinds = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16, "float16": np.float16}
    stored = {name: np.ascontiguousarray(value.astype(kinds[dtype])) for name, value in tensors.items()}
    if num_shards == 1:
        save_file(stored, directory / "model.safetensors", metadata={"format": "pt"})
        return directory
    names = sorted(stored)
    weight_map = {}
    for shard in range(num_shards):
        file = f"model-{shard + 1:05d}-of-{num_shards:05d}.safetensors"
        part = {name: stored[name] for name in names[shard::num_shards]}
        save_file(part, directory / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": sum(value.nbytes for value in stored.values())}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    return directory


def write_tensors(file: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """One safetensors file."""
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, file, metadata={"format": "pt"})
