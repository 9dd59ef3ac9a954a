"""The GPU programs compile for an H200 without one. Needs CUDA's compiler and JAX's plugin as wheels, no driver.

    pip install --no-deps jax-cuda12-plugin==JAX jax-cuda12-pjrt==JAX nvidia-cuda-nvcc-cu12 && pip install absl-py
    pytest -m aot tests/kernels/aot_gpu_test.py

with JAX's own version for JAX; a few seconds a case. In a process of its own, because XLA reads where ptxas is from the
environment when it starts.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.aot


def test_compiles_for_h200():
    compiler = importlib.util.find_spec("nvidia.cuda_nvcc") if importlib.util.find_spec("nvidia") else None
    if compiler is None or compiler.submodule_search_locations is None:
        pytest.skip("pip install nvidia-cuda-nvcc-cu12 and the plugin wheels")
    toolkit = pathlib.Path(next(iter(compiler.submodule_search_locations)))
    cases = pathlib.Path(__file__).with_name("aot_gpu_cases.py")
    environment = os.environ | {
        "PATH": f"{toolkit / 'bin'}:{os.environ['PATH']}",
        "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",
        "CUDA_VISIBLE_DEVICES": "-1",
        "XLA_FLAGS": f"--xla_gpu_cuda_data_dir={toolkit} --xla_gpu_autotune_level=0",
        "JAX_PLATFORMS": "",
    }
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-m", "aot", str(cases)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=cases.parents[2])
    assert ran.returncode == 0 and " passed" in ran.stdout, ran.stdout + ran.stderr
