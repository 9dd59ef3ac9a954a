"""What `None` takes on each kind of device: the table of choice.py, and never an unproven implementation."""

import itertools

import pytest

from keytokens.kernels import IMPLEMENTATIONS, choice
from keytokens.kernels.cpu_ffi import instructions, library
from keytokens.kernels.unproven import UNPROVEN

BIG = {"k": 100, "vocabulary": 50000, "with_logsumexp": False}
DEVICES = {  # backend, library built for the CPU, bfloat16 units -> the best preparation
    "CPU": ("cpu", False, False, None),
    "CPU with bfloat16 units": ("cpu", False, True, "screened"),
    "CPU with the library": ("cpu", True, False, "cpu_ffi"),
    "CPU with all": ("cpu", True, True, "cpu_ffi"),
    "GPU": ("gpu", True, True, None),
    "TPU": ("tpu", False, True, None),
}


@pytest.fixture(params=DEVICES.values(), ids=DEVICES.keys())
def best(request, monkeypatch):
    backend, is_fast, has_units, best = request.param
    monkeypatch.setattr(choice.jax, "default_backend", lambda: backend)
    monkeypatch.setattr(library, "is_fast", lambda: is_fast)
    monkeypatch.setattr(instructions, "cpu_flags", lambda: frozenset({"fpu", "amx_bf16"} if has_units else {"fpu"}))
    return best


def test_a_head_is_prepared_for_the_fastest(best):
    assert choice.fastest_preparation() == best
    assert choice.choose(**BIG, prepared_for=best) == (best or "xla")


def test_what_does_not_pay_is_left_to_xla(best):
    assert choice.choose(**BIG, prepared_for=None) == "xla"
    if best != "cpu_ffi":
        assert choice.choose(**BIG | {"with_logsumexp": True}, prepared_for=best) == "xla"
        assert choice.choose(**BIG | {"k": 1000}, prepared_for=best) == "xla"


def test_a_head_prepared_for_another_device_is_left_to_xla(best):
    for prepared_for in {"screened", "cpu_ffi"} - {best}:
        assert choice.choose(**BIG, prepared_for=prepared_for) == "xla"


def test_nothing_unproven_is_ever_taken(best):
    for k, prepared_for, with_logsumexp in itertools.product((1, 100), (None, "screened", "cpu_ffi"), (False, True)):
        taken = choice.choose(**BIG | {"k": k, "with_logsumexp": with_logsumexp}, prepared_for=prepared_for)
        assert taken in IMPLEMENTATIONS and taken not in UNPROVEN
