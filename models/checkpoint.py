"""The tensors of a checkpoint directory, by name: shapes at once, values one at a time."""

import functools
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

from keytokens.models.errors import ModelError
from keytokens.models.json_files import read_json, shown
from keytokens.models.stored import StoredTensor
from keytokens.models.torch_bin import read_torch_bin

# What weights are called, the safer format first; "adapter_model" is PEFT's.
_FILES = {
    "model": ("model.safetensors", "pytorch_model.bin"),
    "adapter_model": ("adapter_model.safetensors", "adapter_model.bin"),
}
# The formats of safetensors by numpy's names; of the others (floats of eight bits and fewer) numpy has none.
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"}
_DTYPES |= {
    f"{letter}{bits}": f"{kind}{bits}" for letter, kind in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
}


def weight_files(directory: str | Path, stem: str = "model") -> list[Path]:
    """The files that hold a checkpoint's weights, in the order of their names.

    Args:
      directory: in Hugging Face layout.
      stem: "model", or "adapter_model" for a PEFT adapter.

    Raises:
      ModelError: there are none, or an index names files that are missing.
    """
    directory = Path(directory)
    for name in _FILES[stem]:
        if (directory / name).is_file():
            return [directory / name]
        index = directory / f"{name}.index.json"
        if index.is_file():
            shards = sorted(set(_read_index(index).values()))
            if missing := [shard for shard in shards if not (directory / shard).is_file()]:
                raise ModelError(
                    f"{index} names {', '.join(missing)}, not in {directory}; download the missing files again."
                )
            return [directory / shard for shard in shards]
    raise ModelError(
        f"{directory} holds none of {', '.join(_FILES[stem])} and no index of one, so there are no weights to read; "
        "download the whole checkpoint, or save it with `save_pretrained`."
    )


def open_checkpoint(directory: str | Path, stem: str = "model") -> dict[str, StoredTensor]:
    """Every tensor of the checkpoint; reads headers only.

    Raises:
      ModelError: no weights, a file that is cut, damaged or hostile, or an index that contradicts its files.
    """
    files = weight_files(directory, stem)
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        found = read_torch_bin(file) if file.suffix == ".bin" else _open_safetensors(file)
        if twice := sorted(found.keys() & tensors.keys()):
            raise ModelError(
                f"{file} holds {twice[0]}, which another file of {directory} holds too: shards of two checkpoints are "
                "mixed; delete the directory and download it again."
            )
        tensors |= found
    for index in (Path(directory) / f"{name}.index.json" for name in _FILES[stem]):
        if index.is_file() and {Path(directory) / shard for shard in _read_index(index).values()} == set(files):
            _check_index(index, tensors)
    return tensors


def _check_index(index: Path, tensors: Mapping[str, StoredTensor]) -> None:
    if missing := sorted(_read_index(index).keys() - tensors.keys()):
        raise ModelError(
            f"{index} lists {len(missing)} tensor(s) that its files lack, {missing[0]} first: index and files are not "
            "of one checkpoint; download both again."
        )


def _open_safetensors(file: Path) -> dict[str, StoredTensor]:
    try:
        handle = safe_open(file, framework="numpy")
        tensors = {}
        for name in handle.keys():  # noqa: SIM118 (the handle is not a mapping)
            header = handle.get_slice(name)
            dtype = str(header.get_dtype())
            read = functools.partial(handle.get_tensor, name)
            tensors[name] = StoredTensor(tuple(header.get_shape()), _DTYPES.get(dtype, dtype), read)
        return tensors
    except SafetensorError as error:
        raise ModelError(
            f"{file} ({file.stat().st_size:,} bytes) is not a whole safetensors file: {error}. It was probably cut "
            "short while downloading; download it again."
        ) from error


def _read_index(index: Path) -> Mapping[str, str]:
    """Tensor name -> the file that holds it."""
    weight_map = read_json(index, dict).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ModelError(f"{index} is no checkpoint index with a weight_map; download it again.")
    if strange := [file for file in weight_map.values() if not isinstance(file, str) or Path(file).name != file]:
        raise ModelError(
            f"{index} names {shown(strange[0])}, which is no file beside it, so other files would be read than those "
            "that were asked for; download it again."
        )
    return weight_map
