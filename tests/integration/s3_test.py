"""Corpus and store on a real S3 server (moto's, on loopback): the same bytes as on disk."""

import os
import re
import subprocess
import sys
import time

import pytest

from keytokens.pipelines import inspect_store
from tests import small_run
from tests.integration import jobs

pytestmark = pytest.mark.integration
pytest.importorskip("moto", reason="moto[server] is not installed")
boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory):
    """An S3 server; the variables that lead to it set for this process and its children."""
    log = tmp_path_factory.mktemp("moto") / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], stdout=out, stderr=subprocess.STDOUT
        )
    end = time.monotonic() + 60
    while (found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text())) is None:
        assert time.monotonic() < end and process.poll() is None, log.read_text()
        time.sleep(0.1)
    variables = {
        "AWS_ENDPOINT_URL": found[1],
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="keytokens")
        yield
    process.kill()
    process.wait()


def test_corpus_and_store_on_s3_resume_and_verify(tmp_path):
    local = small_run.options(tmp_path, num_rows=800, unit_rows=40)
    small_run.launch(local)
    client = boto3.client("s3")
    for path in sorted(small_run.corpus_dir(800).iterdir()):
        client.upload_file(str(path), "keytokens", f"corpus/{path.name}")
    asked = small_run.options(
        tmp_path,
        num_rows=800,
        unit_rows=40,
        corpus=("s3://keytokens/corpus/*.jsonl",),
        output="s3://keytokens/out.zarr",
    )
    environment = {**jobs.ENVIRONMENT, **{name: os.environ[name] for name in os.environ if name.startswith("AWS_")}}
    job = jobs.start(asked, env=environment)
    end = time.monotonic() + 120
    while client.list_objects_v2(Bucket="keytokens", Prefix="out.zarr/run/units/").get("KeyCount", 0) < 3:
        assert job.poll() is None and time.monotonic() < end, job.poll()
        time.sleep(0.05)
    jobs.kill(job)
    assert "resuming: " in jobs.finish(jobs.start(asked, env=environment))
    found, expected = small_run.contents(asked.output), small_run.contents(local.output)
    assert sorted(found) == sorted(expected)
    # The manifest names the corpus's paths, which differ.
    assert [key for key in found if found[key] != expected[key]] == ["zarr.json"]
    whole = inspect_store.inspect(asked.output, verify=True)
    assert whole["complete"] and whole["damage"] == []
    client.delete_object(Bucket="keytokens", Key="out.zarr/X/data/c/3")
    damaged = inspect_store.inspect(asked.output, verify=True)["damage"]
    assert damaged == ["X/data, rows 120 to 159: the file X/data/c/3 is missing"]
