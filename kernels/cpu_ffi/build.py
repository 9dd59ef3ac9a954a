"""Builds the C++ library beside its sources: `python -m keytokens.kernels.cpu_ffi.build`."""

import os
import pathlib
import shutil
import subprocess

import jax

from keytokens.kernels.cpu_ffi import instructions
from keytokens.kernels.cpu_ffi.library import path_of

SOURCES = tuple(pathlib.Path(__file__).with_name(name) for name in ("attention.cc", "linear.cc", "topk.cc"))
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-std=c++17", "-w", "-fPIC", "-shared", "-fvisibility=hidden")


def build(folder: pathlib.Path | None = None) -> list[pathlib.Path]:
    """Compiles the library with $CXX, c++ or g++, once for each set of instructions that CPUs of this kind may have.

    Args:
      folder: where to; None for beside the sources, where it is looked for.

    Returns:
      The libraries' paths.

    Raises:
      FileNotFoundError: there is no C++ compiler.
      RuntimeError: the compiler failed; the message holds what it said.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        raise FileNotFoundError("No C++ compiler: install g++ or set CXX. Without the library JAX does the work alone.")
    built = []
    for each in instructions.of_machine():
        output = path_of(each, folder)
        command = [compiler, *FLAGS, *each.flags, f"-I{jax.ffi.include_dir()}", *map(str, SOURCES), "-o", str(output)]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            raise RuntimeError(f"{compiler} failed on {', '.join(map(str, SOURCES))}:\n{ran.stderr}")
        built.append(output)
    return built


if __name__ == "__main__":
    print(*build(), sep="\n")
