"""Finds and registers the C++ library."""

import ctypes
import functools
import pathlib

import jax

from keytokens.kernels.cpu_ffi import instructions

FOLDER = pathlib.Path(__file__).parent
BUILD_COMMAND = "python -m keytokens.kernels.cpu_ffi.build"
# What an XLA program calls -> the handler's symbol in the library.
HANDLERS = {
    "keytokens_linear": "KeytokensLinear",
    "keytokens_feed_forward": "KeytokensFeedForward",
    "keytokens_attend": "KeytokensAttend",
    "keytokens_topk": "KeytokensTopK",
}
# Sets of instructions with which the library is faster than XLA.
FAST = {"avx512", "avx2"}


def path_of(instruction_set: instructions.Instructions, folder: pathlib.Path | None = None) -> pathlib.Path:
    """Of the library for these instructions; the folder is by default where it is looked for."""
    return (folder or FOLDER) / f"libkeytokens_cpu_{instruction_set.name}.so"


def best() -> instructions.Instructions | None:
    """The best that this CPU has and the library was built for."""
    return next((each for each in instructions.usable() if path_of(each).exists()), None)


@functools.cache
def load() -> ctypes.CDLL:
    """The best library, its handlers registered with XLA for CPU; one must have been built."""
    found = best()
    assert found is not None, "ask best() first"
    library = ctypes.CDLL(str(path_of(found)))
    for target, symbol in HANDLERS.items():
        jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(library, symbol)), platform="cpu")
    return library


def is_fast() -> bool:
    """Whether the library is built and this CPU has the instructions that make it worthwhile."""
    found = best()
    return found is not None and found.name in FAST


def require_packed(what: str) -> None:
    """Loads the library.

    Args:
      what: needs it; for messages.

    Raises:
      ValueError: the default device is no CPU, or one that no library is built for, or the library is not built.
    """
    if jax.default_backend() != "cpu":
        raise ValueError(f"{what} needs a CPU, but the default device is a {jax.default_backend()}: use XLA's there.")
    if not instructions.usable():
        raise ValueError(f"{what} needs a CPU with AVX-512 VNNI or AVX2, which this one lacks: use XLA's there.")
    if best() is None:
        raise ValueError(f"{what} needs the C++ library, which is not built for this CPU: run `{BUILD_COMMAND}`.")
    load()
