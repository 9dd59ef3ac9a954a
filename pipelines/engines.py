"""Which engine runs a pipeline, and what has to be put right before it may.

Beam's own `beam.Pipeline(options=...)` would start FnApiRunner without handing its options to worker processes, wait
for ever for a worker that was killed, and let DaskRunner lose output in silence. `pipeline` here does none of these.
"""

import socket

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options import pipeline_options
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability import prism_runner
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.runner import PipelineRunner

from keytokens.pipelines import own_errors, run_errors, worker_processes

# How long a job service may take to answer.
_ANSWER_SEC = 30.0


def use_options(options: pipeline_options.PipelineOptions) -> None:
    """Hands file systems their options (--s3_endpoint_url and the like) before there is a pipeline: planning reads."""
    FileSystems.set_options(options)


def pipeline(options: pipeline_options.PipelineOptions) -> beam.Pipeline:
    """A pipeline on the engine that `options` name; to be used in a `with`.

    Whether there is such an engine shows here: make the pipeline before anything is written.

    Raises:
      ImportError: the engine's package is not installed.
      ValueError: no engine has this name, or it lacks an option or its program.
    """
    own_errors.leave_to_the_end()
    _check(options)
    return beam.Pipeline(runner=_runner(options), options=options)


def computes_here(options: pipeline_options.PipelineOptions) -> bool:
    """Whether it is this machine that embeds, so that what it lacks can be said before the run."""
    return _name(options) in {"fnapirunner", "directrunner"}


def _name(options: pipeline_options.PipelineOptions) -> str:
    return (options.view_as(pipeline_options.StandardOptions).runner or "").rsplit(".", 1)[-1].lower()


def _check(options: pipeline_options.PipelineOptions) -> None:
    """Looks for the engine, which Beam does only with the run, when --overwrite has deleted a store already."""
    endpoint = options.view_as(pipeline_options.PortableOptions).job_endpoint
    if endpoint and ":" in endpoint:
        _reach(endpoint)
    elif _name(options) == "prismrunner":
        _start_prism(options)


def _reach(endpoint: str) -> None:
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SEC).close()
    except (OSError, ValueError) as error:
        raise ValueError(
            f"--job_endpoint={endpoint}: no job service answers there ({error}); nothing was written. Start it first, "
            "or name its address as HOST:PORT."
        ) from error


def _start_prism(options: pipeline_options.PipelineOptions) -> None:
    try:
        prism_runner.PrismRunner().default_job_server(options).start()  # once a process: the run finds it
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"--runner=PrismRunner: there is no Prism to run ({error}); nothing was written. Name one that is on this "
            "machine by --prism_location, or leave --runner out."
        ) from error


def _runner(options: pipeline_options.PipelineOptions) -> PipelineRunner | None:
    """The runner where ours differs from Beam's; None lets Beam choose by its own name."""
    name = _name(options)
    if name == "fnapirunner":
        return LocalRunner(options)
    if name == "daskrunner":
        # Imported here: dask is an extra.
        from keytokens.pipelines import dask_engine

        return dask_engine.CheckedDaskRunner()
    return None


class LocalRunner(fn_runner.FnApiRunner):
    """FnApiRunner whose worker processes get the options, share the cores, and are watched."""

    def __init__(self, options: pipeline_options.PipelineOptions):
        # Without a level of its own a worker prints every step of its gRPC channels.
        asked = {"default_sdk_harness_log_level": "WARNING", **options.get_all_options(drop_default=True)}
        encoded = JobServiceHandle.encode_pipeline_options(asked)
        provision = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded, retrieval_token="unused")
        super().__init__(provision_info=fn_runner.ExtendedProvisionInfo(provision))

    def run_via_runner_api(self, pipeline_proto, options):
        """Runs the proto, with `direct_running_mode=multi_processing` in watched processes.

        Raises:
          WorkerDiedError: one of them was killed.
          RunError: what another error of ours said, if it was raised in one of them.
          KeyboardInterrupt: somebody pressed Ctrl-C, also where Beam has made another error of that.
        """
        crew = worker_processes.Crew(pipeline_proto, self._num_workers)
        try:
            with own_errors.resumable():
                return super().run_via_runner_api(pipeline_proto, options)
        except Exception as error:
            if crew.error is not None:
                raise crew.error from error
            if (ours := own_errors.message(str(error))) is not None:
                raise run_errors.RunError(ours) from error
            own_errors.drop_step(error)
            raise
