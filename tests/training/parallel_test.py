"""A batch split over four devices trains as on one; run in a process of its own, which has the four."""

import os
import pathlib
import subprocess
import sys


def test_on_four_virtual_devices():
    cases = pathlib.Path(__file__).with_name("parallel_cases.py")
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-n0", "-p", "no:cacheprovider", str(cases)]
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=cases.parents[2])
    assert ran.returncode == 0 and "2 passed" in ran.stdout, ran.stdout + ran.stderr
