"""The Dataflow launch recipe, as far as it goes without Google: the job, what its workers install, its proto run here.

Needs apache-beam[gcp], in this interpreter or in the one that KEYTOKENS_GCP_PYTHON names.
"""

import json
import os
import subprocess
import sys

import pytest

from tests import small_run
from tests.integration import jobs

pytestmark = pytest.mark.integration
PYTHON = os.environ.get("KEYTOKENS_GCP_PYTHON", sys.executable)
ACCELERATORS = {
    "l4": ("g2-standard-8", "type:nvidia-l4;count:1;install-nvidia-driver"),
    "a100": ("a2-highgpu-1g", "type:nvidia-tesla-a100;count:1;install-nvidia-driver"),
    "h100": ("a3-highgpu-1g", "type:nvidia-h100-80gb;count:1;install-nvidia-driver"),
    "tpu": ("ct5lp-hightpu-1t", "type:tpu-v5-lite-podslice;topology:1x1"),
}


def recipe(machine: str, accelerator: str) -> list[str]:
    return [
        "--runner=DataflowRunner",
        "--project=my-project",
        "--region=us-central1",
        "--temp_location=gs://my-bucket/tmp",
        "--setup_file=./setup.py",
        f"--machine_type={machine}",
        f"--dataflow_service_options=worker_accelerator={accelerator}",
        "--experiments=no_use_multiple_sdk_containers",
        "--number_of_worker_harness_threads=1",
        "--disk_size_gb=100",
        "--num_workers=4",
    ]


@pytest.fixture(scope="module")
def has_gcp():
    done = subprocess.run([PYTHON, "-c", "import apache_beam.io.gcp.gcsio, keytokens"], capture_output=True,
                          env=jobs.ENVIRONMENT, cwd=jobs.ROOT, check=False)  # fmt: skip
    if done.returncode:
        pytest.skip("apache-beam[gcp] is not installed here; KEYTOKENS_GCP_PYTHON may name an interpreter that has it")


@pytest.mark.usefixtures("has_gcp")
@pytest.mark.parametrize("accelerator", ["a100", "h100", "tpu"])
def test_the_job_asks_for_the_accelerator(tmp_path, accelerator):
    asked = small_run.options(tmp_path, num_rows=90)
    found = build(asked, tmp_path, *recipe(*ACCELERATORS[accelerator]), run=False)
    (pool,) = found["job"]["environment"]["workerPools"]
    assert pool["machineType"] == ACCELERATORS[accelerator][0]
    assert f"worker_accelerator={ACCELERATORS[accelerator][1]}" in found["job"]["environment"]["serviceOptions"]
    assert found["state"] == "not run"


def build(asked, directory, *beam: str, run: bool) -> dict:
    (directory / "staging").mkdir()
    job = subprocess.run(
        [PYTHON, "-m", "tests.integration.dataflow_job", asked.model.directory, asked.corpus[0],
         str(directory / "dataflow.zarr"), str(directory / "staging"), "run" if run else "build", *beam],
        capture_output=True, text=True, env=jobs.ENVIRONMENT, cwd=jobs.ROOT, timeout=240, check=False,
    )  # fmt: skip
    assert job.returncode == 0, job.stderr[-3000:]
    return json.loads(job.stdout.splitlines()[-1])


@pytest.mark.usefixtures("has_gcp")
def test_the_job_of_the_recipe_is_built_and_its_proto_runs(tmp_path):
    asked = small_run.options(tmp_path, num_rows=800, unit_rows=40)
    small_run.launch(asked)
    expected = small_run.contents(asked.output)
    found = build(asked, tmp_path, *recipe(*ACCELERATORS["l4"]), run=True)
    for file in (
        "kernels/api.py",
        "models/embedder.py",
        "pipelines/unit_work.py",
        "pipelines/store/writer.py",
        "models/bundled/keytokens-lm/model.safetensors",
        "models/bundled/keytokens-embed/1_Pooling/config.json",
    ):
        assert file in found["members"]
    assert not [member for member in found["members"] if member.startswith("tests/")]
    names = {line.split("<")[0].split(">")[0].split("[")[0].strip() for line in found["requires"]}
    assert {"jax", "flax", "tensorstore", "apache-beam", "transformers", "safetensors"} <= names
    environment = found["job"]["environment"]
    (pool,) = environment["workerPools"]
    assert (pool["machineType"], pool["numWorkers"], pool["diskSizeGb"]) == ("g2-standard-8", 4, 100)
    assert "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver" in environment["serviceOptions"]
    assert "no_use_multiple_sdk_containers" in environment["experiments"]
    assert found["proto_bytes"] < 20_000_000 and found["state"] == "DONE"
    print(f"{found['num_units']} units, {found['proto_bytes']} bytes of proto")
    small_run.assert_same_store(str(tmp_path / "dataflow.zarr"), expected)
