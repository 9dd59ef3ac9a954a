"""Builds the C++ library beside its sources: `python -m keytokens.kernels.cpu_ffi.build`."""

import os
import pathlib
import shutil
import subprocess

import jax

from keytokens.kernels.cpu_ffi.library import LIBRARY

SOURCES = tuple(pathlib.Path(__file__).with_name(name) for name in ("attention.cc", "linear.cc", "topk.cc"))
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-std=c++17", "-w", "-fPIC", "-shared")


def build(output: pathlib.Path = LIBRARY) -> pathlib.Path:
    """Compiles the library with $CXX, c++ or g++; returns its path.

    Raises:
      FileNotFoundError: there is no C++ compiler.
      RuntimeError: the compiler failed; the message holds what it said.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        raise FileNotFoundError("No C++ compiler: install g++ or set CXX. Without the library JAX does the work alone.")
    flags = [*FLAGS, "-fvisibility=hidden", f"-I{jax.ffi.include_dir()}"]
    ran = subprocess.run([compiler, *flags, *map(str, SOURCES), "-o", str(output)], capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"{compiler} failed on {', '.join(map(str, SOURCES))}:\n{ran.stderr}")
    return output


if __name__ == "__main__":
    print(build())
