"""Files of torch.save read without torch: bit for bit, and nothing in them ever runs."""

import collections
import os
import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from keytokens import models
from keytokens.models import torch_bin
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

    def number(value):
        return pickle.dumps(value, protocol=0).removesuffix(b".")

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = b"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\n" + number(size) + b"tQ"
    build = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + numbers(shape) + numbers(strides)
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


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "size"),
    [
        (True, (1,), (1,), 4),
        (0.0, (1,), (1,), 4),
        (0, (True,), (1,), 4),
        (0, (2.0,), (1,), 4),
        (0, (2,), (True,), 4),
        (0, (0,), (1,), -1),
        (0, (1,), (1,), True),
        (0, (1,), (1,), 4.0),
        (0, "1", (1,), 4),
    ],
)
def test_what_is_no_whole_number_is_no_size(tmp_path, offset, shape, strides, size):
    write_zip(tmp_path / "x.bin", tensor_pickle(offset, shape, strides, size=size))
    with pytest.raises(models.ModelError, match=r"which is no (tensor|storage)"):
        read_torch_bin(tmp_path / "x.bin")


KIND = b"ctorch\nFloatStorage\n"


def sealed_pickle(*, kind=b"", storage=b"", constructor=b"", tensor=b""):
    """{"weight": tensor of four numbers} with opcodes put behind each of our objects."""
    made = b"(S'storage'\n" + KIND + kind + b"S'0'\nS'cpu'\nI4\ntQ" + storage
    call = b"ctorch._utils\n_rebuild_tensor_v2\n" + constructor + b"(" + made + b"I0\n(I4\nt(I1\ntI00\n(dtR"
    return b"(dS'weight'\n" + call + tensor + b"s."


# What BUILD takes: a state for the dict of attributes, or with a second one for slots.
STATES = {"dict": b"%b", "slots": b"N%b\x86", "both": b"(d%b\x86"}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("part", "name", "change"),
    [
        ("kind", "StorageKind", b"(dS'dtype'\nNs"),
        ("storage", "Storage", b"(dS'size'\nI1000000\ns"),
        ("tensor", "Tensor", b"(dS'offset'\nI-1000000\ns"),
        ("constructor", "Constructor", b"(dS'_make'\n" + KIND + b"s"),
    ],
)
def test_a_pickle_cannot_change_what_is_ours(tmp_path, part, name, change, state):
    write_zip(tmp_path / "x.bin", sealed_pickle(**{part: STATES[state] % change + b"b"}))
    with pytest.raises(models.ModelError, match=f"asks for other attributes of a {name}, which no tensor needs"):
        read_torch_bin(tmp_path / "x.bin")


# An OrderedDict that numpy takes for a format of four bytes, and that says it has -1000000.
FORGED_DTYPE = b"ccollections\nOrderedDict\n)R(S'names'\n(lS'x'\naS'formats'\n(lS'<f4'\nau}S'itemsize'\nI-1000000\nsb"


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("kind", b"N}S'dtype'\n" + FORGED_DTYPE + b"s\x86b"),
        ("storage", b"}S'dtype'\n" + FORGED_DTYPE + b"sb"),
        ("storage", b"}S'size'\nF1e30\nsb"),
        ("tensor", b"}S'offset'\nI-1000000\nsb"),
        ("tensor", b"}S'shape'\n(lI4\nasb"),
        ("tensor", b"}S'strides'\n(F-2.5\ntsb"),
    ],
)
def test_a_changed_tensor_would_be_refused_too(tmp_path, monkeypatch, part, change):
    # The second lock, with the first one taken away.
    monkeypatch.delattr(torch_bin._Sealed, "__setstate__")
    write_zip(tmp_path / "x.bin", sealed_pickle(**{part: change}))
    with pytest.raises(models.ModelError, match=r"which is no (tensor|storage)"):
        read_torch_bin(tmp_path / "x.bin")


def test_attributes_of_a_state_dict_change_nothing(tmp_path):
    # torch itself writes one, _metadata; a hostile file might write any.
    weight = sealed_pickle().removesuffix(b".")
    write_zip(tmp_path / "x.bin", b"ccollections\nOrderedDict\n(" + weight + b"tR}S'items'\nI3\nsb.")
    assert list(read_torch_bin(tmp_path / "x.bin")) == ["weight"]


def test_the_stride_of_a_single_row_means_nothing(tmp_path):
    write_zip(tmp_path / "x.bin", tensor_pickle(0, (1, 4), (2**62, 1)))
    assert read_torch_bin(tmp_path / "x.bin")["weight"].read().shape == (1, 4)


def test_a_cut_file_of_old_torch_is_found_before_it_is_loaded(tmp_path):
    (tmp_path / "cut.bin").write_bytes((DATA / "torch_legacy.bin").read_bytes()[:-1])
    with pytest.raises(models.ModelError, match=r"ends at byte .* cut short"):
        read_torch_bin(tmp_path / "cut.bin")


def test_a_storage_that_an_old_file_lacks_is_found_before_it_is_loaded(tmp_path):
    header = b"".join(pickle.dumps(part) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    (tmp_path / "x.bin").write_bytes(header + tensor_pickle(0, (4,), (1,)) + pickle.dumps([]))
    with pytest.raises(models.ModelError, match="storage 0 is not there"):
        read_torch_bin(tmp_path / "x.bin")


@pytest.mark.parametrize("entry", [0, 1])
def test_encrypted_entries_are_an_error(tmp_path, entry):
    path = tmp_path / "x.bin"
    write_zip(path, tensor_pickle(0, (2, 2), (2, 1)))
    content = bytearray(path.read_bytes())
    place = -1
    for _ in range(entry + 1):
        place = content.index(b"PK\x01\x02", place + 1)
    content[place + 8] |= 1  # the flag of the directory's entry
    path.write_bytes(content)
    with pytest.raises(models.ModelError, match="encrypted"):
        read_torch_bin(path)["weight"].read()


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
