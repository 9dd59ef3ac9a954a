"""`pytorch_model.bin` without torch: a reader that admits tensor storages and plain containers, and nothing else.

A pickle is a program. This one may build dicts and call four constructors, all ours; every other name that it asks for
is refused before anything runs. It may not change what the constructors made, and tensors are checked against the bytes
that are there.
"""

import dataclasses
import functools
import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from keytokens.models.errors import ModelError
from keytokens.models.stored import StoredTensor

_DTYPES: dict[str, np.dtype] = {
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "DoubleStorage": np.dtype(np.float64),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
# The first of the pickles that torch wrote before version 1.6, one after another in one file.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_DAMAGED = (
    *(pickle.UnpicklingError, EOFError, KeyError, IndexError, ValueError, TypeError, AttributeError, struct.error),
    *(OverflowError, MemoryError, RuntimeError, zipfile.BadZipFile, OSError),
)


class _Refused(pickle.UnpicklingError):
    """Something that no checkpoint needs."""


class _Sealed:
    """Cannot be changed by a pickle, whose BUILD would write even the attributes of frozen dataclasses."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise _Refused(f"other attributes of a {type(self).__name__.strip('_')}")


@dataclasses.dataclass(frozen=True)
class _Storage(_Sealed):
    """Numbers in a file, not read yet."""

    key: str
    dtype: np.dtype
    size: int


@dataclasses.dataclass(frozen=True)
class _Tensor(_Sealed):
    """A view of a storage; offset and strides count numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch_bin(path: str | Path) -> dict[str, StoredTensor]:
    """The tensors of a file that `torch.save` wrote from a state dict; headers only, values when asked for.

    Raises:
      ModelError: the file is cut or damaged, holds something else than tensors by name, or asks for a global that a
        checkpoint has no use for; nothing of it has run then.
    """
    path = Path(path)
    try:
        if zipfile.is_zipfile(path):
            state, read = _open_zip(path)
        else:
            state, read = _open_legacy(path)
    except _Refused as error:
        raise ModelError(
            f"{path} asks for {error}, which no tensor needs: loading it with torch would run foreign code. Do not; "
            "take a safetensors file, or another source."
        ) from error
    except _DAMAGED as error:
        raise ModelError(
            f"{path} ({path.stat().st_size:,} bytes) is not a whole file of torch.save: {error!r}. It was probably cut "
            "short while downloading; download it again."
        ) from error
    if not isinstance(state, dict):
        raise ModelError(f"{path} holds a {type(state).__name__} and no tensors by name; it is no checkpoint.")
    # dict's own items: an OrderedDict may come with an attribute of that name.
    return {name: _stored(path, name, tensor, read) for name, tensor in dict.items(state)}


def _stored(path: Path, name: Any, tensor: Any, read: Callable[[_Storage], bytes]) -> StoredTensor:
    if not isinstance(name, str) or not isinstance(tensor, _Tensor):
        raise ModelError(f"{path} holds {name!r} of type {type(tensor).__name__}; a checkpoint holds tensors by name.")
    offset, shape, strides, storage = tensor.offset, tensor.shape, tensor.strides, tensor.storage
    if not (_are_counts(shape) and _are_counts(strides) and len(shape) == len(strides) and _are_counts((offset,))):
        raise ModelError(
            f"{path}: {name} has shape {shape}, strides {strides} and offset {offset}, which is no tensor: with "
            "anything but whole numbers from 0, other memory would be read. The file is damaged or forged; download it "
            "again."
        )
    if not (_are_counts((storage.size,)) and issubclass(type(storage.dtype), np.dtype)):
        raise ModelError(
            f"{path}: {name} lies in {storage.size!r} numbers of {storage.dtype!r}, which is no storage: with anything "
            "but numpy's formats, other memory would be read. The file is damaged or forged; download it again."
        )
    # Python's integers do not overflow.
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= storage.size:
        raise ModelError(
            f"{path}: {name} reaches number {last} of a storage of {storage.size}: the file is damaged or "
            "forged; download it again."
        )
    return StoredTensor(shape, str(storage.dtype), functools.partial(_read_tensor, path, name, tensor, read))


def _are_counts(values: Any) -> bool:
    """Whether this is a tuple of whole numbers from 0, no booleans."""
    return type(values) is tuple and all(type(value) is int and value >= 0 for value in values)


def _read_tensor(path: Path, name: str, tensor: _Tensor, read: Callable[[_Storage], bytes]) -> np.ndarray:
    data = read(tensor.storage)
    dtype = tensor.storage.dtype
    if len(data) < tensor.storage.size * dtype.itemsize:
        raise ModelError(
            f"{path}: {name} needs {tensor.storage.size} numbers, {len(data)} bytes are there: it was cut short; "
            "download it again."
        )
    flat = np.frombuffer(data, dtype, tensor.storage.size)[tensor.offset :]
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, dtype)
    # The stride of a single row means nothing, and may be too large for numpy.
    strides = [stride * dtype.itemsize * (size > 1) for size, stride in zip(tensor.shape, tensor.strides, strict=True)]
    return np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False)


class _StorageKind(_Sealed):
    """Stands for torch.FloatStorage and the like, whose only use is its name."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: np.dtype):
        self.dtype = dtype


class _Constructor(_Sealed):
    """What a pickle may call: a function that is out of its reach otherwise."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., "_Tensor"]):
        self._make = make

    def __call__(self, *arguments: Any) -> "_Tensor":
        return self._make(*arguments)


class _TensorUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return _StorageKind(_DTYPES[name])
        match module, name:
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor":
                return _Constructor(_rebuild_tensor)
            case "torch._utils", "_rebuild_parameter":
                return _Constructor(_rebuild_parameter)
        raise _Refused(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        tag, kind, key, _, size = pid[:5]
        if tag != "storage" or not isinstance(kind, _StorageKind) or any(part is not None for part in pid[5:]):
            raise _Refused(f"the persistent id {pid!r}")
        return _Storage(str(key), kind.dtype, size)


def _rebuild_tensor(storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise _Refused(f"a tensor over a {type(storage).__name__}")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor: _Tensor, *_: Any) -> _Tensor:
    return tensor


def _open_zip(path: Path) -> tuple[Any, Callable[[_Storage], bytes]]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError(f"{len(names)} entries named data.pkl")
        root = names[0].removesuffix("data.pkl")
        # torch never compresses; a compressed entry could unpack to any size.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("compressed entries")
        order = f"{root}byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError("big-endian numbers")
        state = _TensorUnpickler(io.BytesIO(archive.read(names[0]))).load()

    def read(storage: _Storage) -> bytes:
        try:
            with zipfile.ZipFile(path) as archive:
                return archive.read(f"{root}data/{storage.key}")
        except _DAMAGED as error:
            raise ModelError(f"{path} lacks storage {storage.key}: {error}; download it again.") from error

    return state, read


def _open_legacy(path: Path) -> tuple[Any, Callable[[_Storage], bytes]]:
    """magic, protocol, system, state dict, storage keys: five pickles; then each storage's count and numbers."""
    with path.open("rb") as file:
        if _TensorUnpickler(file).load() != _LEGACY_MAGIC:
            raise ValueError("no magic number of torch.save")
        _, system = (_TensorUnpickler(file).load() for _ in range(2))
        if not system.get("little_endian", True):
            raise ValueError("big-endian numbers")
        unpickler = _RememberingUnpickler(file)
        state = unpickler.load()
        keys = _TensorUnpickler(file).load()
        places = _legacy_places(file, keys, unpickler.storages)

    def read(storage: _Storage) -> bytes:
        with path.open("rb") as file:
            file.seek(places[storage.key])
            return file.read(storage.size * storage.dtype.itemsize)

    return state, read


class _RememberingUnpickler(_TensorUnpickler):
    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def persistent_load(self, pid: Any) -> _Storage:
        storage = super().persistent_load(pid)
        self.storages[storage.key] = storage
        return storage


def _legacy_places(file: BinaryIO, keys: list[str], storages: Mapping[str, _Storage]) -> dict[str, int]:
    """Where each storage's numbers begin, in bytes."""
    places = {}
    length_bytes = os.fstat(file.fileno()).st_size
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        storage = storages[key]
        if count != storage.size:
            raise ValueError(f"storage {key} has {count} numbers, {storage.size} announced")
        places[key] = file.tell()
        end = places[key] + count * storage.dtype.itemsize
        if not places[key] <= end <= length_bytes:
            raise ValueError(f"storage {key} ends at byte {end} of {length_bytes}")
        file.seek(end)
    if missing := storages.keys() - places.keys():
        raise ValueError(f"storage {min(missing)} is not there")
    return places
