"""Files of torch.save read without torch: bit for bit, and nothing in them ever runs."""

import collections
import os
import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from keytokens import models
from keytokens.models.torch_bin import read_torch_bin

DATA = pathlib.Path(__file__).parents[1] / "testdata" / "models"


@pytest.mark.parametrize("file", ["torch_zip.bin", "torch_legacy.bin"])
def test_tensors_are_those_that_torch_saved(file):
    tensors = read_torch_bin(DATA / file)
    with np.load(DATA / "torch_bins.npz") as expected:
        assert set(tensors) == set(expected.files)
        for name, tensor in tensors.items():
            value = tensor.read()
            assert value.shape == tensor.shape == expected[name].shape
            np.testing.assert_array_equal(value.astype(np.float64), expected[name], err_msg=name)
    assert tensors["bfloat16_view"].read().dtype == "bfloat16"


@pytest.mark.parametrize("keep", [10, 200, 0.5, -1])
@pytest.mark.parametrize("file", ["torch_zip.bin", "torch_legacy.bin"])
def test_a_cut_file_is_an_error(tmp_path, file, keep):
    whole = (DATA / file).read_bytes()
    size = int(keep * len(whole)) if isinstance(keep, float) else keep
    (tmp_path / "cut.bin").write_bytes(whole[:size])
    with pytest.raises(models.ModelError, match="cut"):
        for tensor in read_torch_bin(tmp_path / "cut.bin").values():
            tensor.read()


class _Calls:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def write_zip(path, pickled, **extra):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", np.zeros(4, np.float32).tobytes())
        for name, content in extra.items():
            archive.writestr(f"archive/{name}", content)


def opcodes(module, name, argument):
    """A pickle that calls module.name(argument), written by hand: whatever Python would refuse to pickle."""
    return b"c" + f"{module}\n{name}\n".encode() + b"(S'" + argument.encode() + b"'\ntR."


HOSTILE = {
    "os.system": opcodes("os", "system", "touch PWNED"),
    "posix.system": pickle.dumps(_Calls(os.system, "touch PWNED")),
    "builtins.eval": opcodes("builtins", "eval", "open('PWNED', 'w')"),
    "builtins.exec": opcodes("builtins", "exec", "open('PWNED', 'w')"),
    "builtins.getattr": pickle.dumps(_Calls(getattr, "text", "upper")),
    "subprocess.Popen": opcodes("subprocess", "Popen", "touch PWNED"),
    "torch.load": opcodes("torch", "load", "PWNED"),
    "torch._utils.os.system": opcodes("torch._utils", "os.system", "touch PWNED"),
    "torch.os.system": opcodes("torch", "os.system", "touch PWNED"),
    "torch.storage._load_from_bytes": opcodes("torch.storage", "_load_from_bytes", "x"),
    "numpy.load": opcodes("numpy", "load", "x"),
    "collections.defaultdict": pickle.dumps(collections.defaultdict(list)),
    # Through the module that does the reading.
    "keytokens.models.torch_bin.functools.partial": opcodes("keytokens.models.torch_bin", "functools.partial", "x"),
    "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0btouch PWNED\x85R.",
    "nested in a dict": pickle.dumps({"weight": _Calls(os.system, "touch PWNED")}),
    "persistent id": b"\x80\x02X\x02\x00\x00\x00osQ.",
}


@pytest.mark.parametrize("layout", ["zip", "legacy"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused_before_it_runs(tmp_path, monkeypatch, name, layout):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pytorch_model.bin"
    if layout == "zip":
        write_zip(path, HOSTILE[name])
    else:
        path.write_bytes(b"".join(pickle.dumps(part) for part in (0x1950A86A20F9469CFC6C, 1001, {})) + HOSTILE[name])
    with pytest.raises(models.ModelError):
        read_torch_bin(path)
    assert not (tmp_path / "PWNED").exists()


def test_the_refusal_names_the_global(tmp_path):
    write_zip(tmp_path / "x.bin", HOSTILE["os.system"])
    with pytest.raises(models.ModelError, match=r"asks for os\.system, which no tensor needs"):
        read_torch_bin(tmp_path / "x.bin")


def tensor_pickle(offset, shape, strides, *, size=4):
    """{"weight": tensor} over four float32 numbers, as bytes of pickle's protocol 0."""

    def integers(values):
        return b"(" + b"".join(b"I%d\n" % value for value in values) + b"t"

    storage = b"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI%d\ntQ" % size
    build = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"I%d\n" % offset + integers(shape) + integers(strides)
    return b"(dS'weight'\n" + build + b"I00\n(dtRs."


def test_a_tensor_inside_its_storage_is_read(tmp_path):
    write_zip(tmp_path / "x.bin", tensor_pickle(0, (2, 2), (2, 1)))
    assert read_torch_bin(tmp_path / "x.bin")["weight"].read().shape == (2, 2)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (5,), (1,)), (4, (1,), (1,)), (0, (2, 2), (4, 1)), (-1, (1,), (1,)), (0, (2,), (-1,)), (0, (2, 2), (1,))],
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, offset, shape, strides):
    write_zip(tmp_path / "x.bin", tensor_pickle(offset, shape, strides))
    with pytest.raises(models.ModelError, match=r"forged|no tensor"):
        read_torch_bin(tmp_path / "x.bin")


def test_a_storage_shorter_than_it_says_is_refused(tmp_path):
    write_zip(tmp_path / "x.bin", tensor_pickle(0, (1000,), (1,), size=1000))
    with pytest.raises(models.ModelError, match="cut short"):
        read_torch_bin(tmp_path / "x.bin")["weight"].read()


def test_compressed_entries_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", tensor_pickle(0, (2, 2), (2, 1)))
    with pytest.raises(models.ModelError, match="compressed"):
        read_torch_bin(tmp_path / "x.bin")


@pytest.mark.parametrize("content", [[1, 2], {"weight": 3}, {3: 4}, "text"])
def test_what_is_no_state_dict_is_refused(tmp_path, content):
    write_zip(tmp_path / "x.bin", pickle.dumps(content))
    with pytest.raises(models.ModelError, match="tensors by name"):
        read_torch_bin(tmp_path / "x.bin")
