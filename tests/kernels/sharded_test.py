"""The head split over eight devices gives what one device gives; run in a process of its own, which has the eight."""

import os
import pathlib
import subprocess
import sys


def test_on_eight_virtual_devices():
    cases = pathlib.Path(__file__).with_name("sharded_cases.py")
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", str(cases)]
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=cases.parents[2])
    assert ran.returncode == 0 and "passed" in ran.stdout, ran.stdout + ran.stderr
    assert "skipped" not in ran.stdout
