"""Builds the Dataflow job of the launch recipe without a network, and runs the job's own proto on this machine.

Run by dataflow_test.py in an interpreter that has apache-beam[gcp]: MODEL CORPUS OUTPUT STAGING run|build
BEAM_OPTION...
Prints what was staged and what Dataflow would be asked for, as one line of JSON.
"""

import json
import pathlib
import sys
import tarfile

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.internal import apiclient
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.transforms import environments

from keytokens import models
from keytokens.pipelines import align_run, cli, engines, transforms


def main(model: str, corpus: str, output: str, staging: str, task: str, *beam: str) -> None:
    """See the module."""
    asked = align_run.AlignOptions(
        model=models.read_embedder(model), backbone=None, corpus=(corpus,), output=output, k=8, unit_rows=40
    )
    run, planned = align_run.prepare(asked)
    pipeline = engines.pipeline(cli.beam_options([*beam, "--dry_run=True", "--no_auth"]))
    transforms.define_pipeline(pipeline, run, planned.units)
    job = pipeline.run().job
    cloud = job.options.view_as(GoogleCloudOptions)
    cloud.template_location, cloud.staging_location = f"{staging}/job.json", staging  # local: files are copied
    apiclient.DataflowApplicationClient(job.options, staging).create_job(job)
    (archive,) = pathlib.Path(staging).glob("**/workflow.tar.gz")
    with tarfile.open(archive) as opened:
        members = opened.getnames()
        requires = next(name for name in members if name.endswith("requires.txt"))
        required = opened.extractfile(requires).read().decode().splitlines()
    proto = beam_runner_api_pb2.Pipeline.FromString(job.proto_pipeline.SerializeToString())
    here = environments.EmbeddedPythonEnvironment.default().to_runner_api(None)
    for environment in proto.components.environments.values():
        environment.CopyFrom(here)
    state = "not run"
    if task == "run":
        state = fn_runner.FnApiRunner().run_via_runner_api(proto, PipelineOptions([])).state
    found = {
        "members": sorted(member.partition("/")[2] for member in members),
        "requires": required,
        "job": json.loads((pathlib.Path(staging) / "job.json").read_text()),
        "proto_bytes": job.proto_pipeline.ByteSize(),
        "num_units": len(planned.units),
        "state": state,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
