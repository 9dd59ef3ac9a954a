"""Writes what `torch.save` writes for tensors, without torch: many checkpoints have nothing but such a file."""

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def write_torch_bin(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes float32 tensors as `pytorch_model.bin` has them: a zip of one pickle and a file of numbers per tensor."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", _pickled(tensors))
        archive.writestr("archive/version", "3\n")
        for key, value in enumerate(tensors.values()):
            assert value.dtype == np.float32, value.dtype
            archive.writestr(f"archive/data/{key}", np.ascontiguousarray(value).tobytes())


def _pickled(tensors: Mapping[str, np.ndarray]) -> bytes:
    """The pickle that rebuilds each tensor from a persistent id, opcode by opcode: pickling itself would need torch."""
    out = io.BytesIO()
    out.write(pickle.PROTO + b"\x02" + pickle.EMPTY_DICT)
    for key, (name, value) in enumerate(tensors.items()):
        strides = [stride // value.itemsize for stride in np.ascontiguousarray(value).strides]
        storage = pickle.MARK + _text("storage") + _global("torch", "FloatStorage") + _text(str(key)) + _text("cpu")
        out.write(_text(name) + _global("torch._utils", "_rebuild_tensor_v2") + pickle.MARK)
        out.write(storage + _number(value.size) + pickle.TUPLE + pickle.BINPERSID + _number(0))
        out.write(_numbers(value.shape) + _numbers(strides) + pickle.NEWFALSE)
        out.write(_global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE)
        out.write(pickle.TUPLE + pickle.REDUCE + pickle.SETITEM)
    out.write(pickle.STOP)
    return out.getvalue()


def _text(value: str) -> bytes:
    encoded = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _number(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def _numbers(values) -> bytes:
    return pickle.MARK + b"".join(_number(value) for value in values) + pickle.TUPLE
