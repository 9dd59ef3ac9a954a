"""Finds and registers the C++ library."""

import ctypes
import functools
import pathlib

import jax

LIBRARY = pathlib.Path(__file__).with_name("libscreen.so")
TARGET = "keytokens_screen"
BUILD_COMMAND = "python -m keytokens.kernels.cpu_ffi.build"


@functools.cache
def load() -> ctypes.CDLL:
    """The library, its handler registered with XLA for CPU.

    Raises:
      ValueError: it was not built.
    """
    if not LIBRARY.exists():
        raise ValueError(f"implementation='cpu_ffi' needs its C++ library, which is not built: run `{BUILD_COMMAND}`.")
    library = ctypes.CDLL(str(LIBRARY))
    jax.ffi.register_ffi_target(TARGET, jax.ffi.pycapsule(library.KeytokensScreen), platform="cpu")
    return library


def is_fast() -> bool:
    """Whether the library is built and this CPU has the instructions that make it worthwhile."""
    return LIBRARY.exists() and bool(load().KeytokensHasVnni())
