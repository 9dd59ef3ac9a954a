"""The tensors of a checkpoint directory, by name: shapes at once, values one at a time."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from keytokens.models.errors import ModelError

INDEX_SUFFIX = ".index.json"


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """A tensor that has not been read yet.

    Attributes:
      shape: its sizes.
      read: returns it; every call reads the file anew, so nothing is kept in memory.
    """

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def weight_files(directory: str | Path, stem: str = "model") -> list[Path]:
    """The files that hold a checkpoint's weights, in the order of their names.

    Args:
      directory: in Hugging Face layout.
      stem: "model", or "adapter_model" for a PEFT adapter.

    Raises:
      ModelError: there are none, or the index names files that are missing.
    """
    directory = Path(directory)
    single = directory / f"{stem}.safetensors"
    index = directory / f"{stem}.safetensors{INDEX_SUFFIX}"
    if single.is_file():
        return [single]
    if not index.is_file():
        raise ModelError(
            f"{directory} holds neither {single.name} nor {index.name}, so there are no weights to read; download the "
            "whole checkpoint, or save it with `save_pretrained`."
        )
    names = sorted(set(_read_index(index).values()))
    if missing := [name for name in names if not (directory / name).is_file()]:
        raise ModelError(f"{index} names {', '.join(missing)}, not in {directory}; download the missing files again.")
    return [directory / name for name in names]


def open_checkpoint(directory: str | Path, stem: str = "model") -> dict[str, StoredTensor]:
    """Every tensor of the checkpoint; reads headers only.

    Raises:
      ModelError: no weights, a file that is cut or damaged, or an index that contradicts its files.
    """
    tensors: dict[str, StoredTensor] = {}
    for file in weight_files(directory, stem):
        tensors |= _open_safetensors(file)
    index = Path(directory) / f"{stem}.safetensors{INDEX_SUFFIX}"
    if index.is_file():
        listed = _read_index(index).keys()
        if missing := sorted(listed - tensors.keys()):
            raise ModelError(
                f"{index} lists {len(missing)} tensor(s) that its files lack, {missing[0]} first: index and files are "
                "not of one checkpoint; download both again."
            )
    return tensors


def _open_safetensors(file: Path) -> dict[str, StoredTensor]:
    try:
        handle = safe_open(file, framework="numpy")
        return {
            name: StoredTensor(tuple(handle.get_slice(name).get_shape()), functools.partial(handle.get_tensor, name))
            for name in handle.keys()  # noqa: SIM118 (the handle is not a mapping)
        }
    except SafetensorError as error:
        raise ModelError(
            f"{file} ({file.stat().st_size:,} bytes) is not a whole safetensors file: {error}. It was probably cut "
            "short while downloading; download it again."
        ) from error


def _read_index(index: Path) -> Mapping[str, str]:
    try:
        return json.loads(index.read_text("utf-8"))["weight_map"]
    except (ValueError, KeyError) as error:
        raise ModelError(
            f"{index} is not a checkpoint index with a weight_map: {error!r}; download it again."
        ) from error
