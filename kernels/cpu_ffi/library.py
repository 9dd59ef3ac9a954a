"""Builds, finds and registers the C++ library."""

import ctypes
import functools
import os
import pathlib
import shutil
import subprocess
import sys

import jax

SOURCE = pathlib.Path(__file__).with_name("screen.cc")
LIBRARY = pathlib.Path(__file__).with_name("libscreen.so")
TARGET = "keytokens_screen"
BUILD_COMMAND = "python -m keytokens.kernels.cpu_ffi.library"


def build(output: pathlib.Path = LIBRARY) -> pathlib.Path:
    """Compiles the library with $CXX, c++ or g++; returns its path.

    Raises:
      FileNotFoundError: there is no C++ compiler.
      RuntimeError: the compiler failed; the message holds what it said.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        raise FileNotFoundError("No C++ compiler: install g++ or set CXX. Without the library JAX does the work alone.")
    flags = ["-O3", "-std=c++17", "-fPIC", "-shared", "-fvisibility=hidden", f"-I{jax.ffi.include_dir()}"]
    ran = subprocess.run([compiler, *flags, str(SOURCE), "-o", str(output)], capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"{compiler} failed on {SOURCE}:\n{ran.stderr}")
    return output


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


if __name__ == "__main__":
    print(build(), file=sys.stderr)
