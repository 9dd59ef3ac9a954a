"""Finds and registers the C++ library."""

import ctypes
import functools
import pathlib

import jax

LIBRARY = pathlib.Path(__file__).with_name("libkeytokens_cpu.so")
BUILD_COMMAND = "python -m keytokens.kernels.cpu_ffi.build"
# What an XLA program calls -> the handler's symbol in the library.
HANDLERS = {
    "keytokens_linear": "KeytokensLinear",
    "keytokens_feed_forward": "KeytokensFeedForward",
    "keytokens_attend": "KeytokensAttend",
    "keytokens_topk": "KeytokensTopK",
}


@functools.cache
def load() -> ctypes.CDLL:
    """The library, its handlers registered with XLA for CPU; it must have been built."""
    library = ctypes.CDLL(str(LIBRARY))
    for target, symbol in HANDLERS.items():
        jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(library, symbol)), platform="cpu")
    return library


def is_fast() -> bool:
    """Whether the library is built and this CPU has the instructions that make it worthwhile."""
    return LIBRARY.exists() and bool(load().KeytokensHasVnni())


def require_packed(what: str) -> None:
    """Loads the library.

    Args:
      what: needs it; for messages.

    Raises:
      ValueError: the default device is no CPU, the library is not built, or the CPU lacks AVX-512 VNNI.
    """
    if jax.default_backend() != "cpu":
        raise ValueError(f"{what} needs a CPU, but the default device is a {jax.default_backend()}: use XLA's there.")
    if not LIBRARY.exists():
        raise ValueError(f"{what} needs the C++ library, which is not built: run `{BUILD_COMMAND}`.")
    if not load().KeytokensHasVnni():
        raise ValueError(f"{what} needs a CPU with AVX-512 VNNI, which this one lacks: use XLA's products here.")
