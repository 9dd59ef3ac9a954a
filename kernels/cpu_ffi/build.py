"""Builds the C++ library beside its source: `python -m keytokens.kernels.cpu_ffi.build`."""

import os
import pathlib
import shutil
import subprocess

import jax

from keytokens.kernels.cpu_ffi.library import LIBRARY

SOURCE = pathlib.Path(__file__).with_name("screen.cc")


def build(output: pathlib.Path = LIBRARY) -> pathlib.Path:
    """Compiles the library with $CXX, c++ or g++; returns its path.

    Raises:
      FileNotFoundError: there is no C++ compiler.
      RuntimeError: the compiler failed; the message holds what it said.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        raise FileNotFoundError("No C++ compiler: install g++ or set CXX. Without the library JAX does the work alone.")
    flags = ["-O3", "-std=c++17", "-w", "-fPIC", "-shared", "-fvisibility=hidden", f"-I{jax.ffi.include_dir()}"]
    ran = subprocess.run([compiler, *flags, str(SOURCE), "-o", str(output)], capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"{compiler} failed on {SOURCE}:\n{ran.stderr}")
    return output


if __name__ == "__main__":
    print(build())
