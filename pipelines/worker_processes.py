"""Worker processes of a local pipeline: fresh interpreters that share the cores, and whose death ends the run.

Beam's own subprocess workers wait for ever when one of them is killed (seen in 2.77: the runner reads on from a stream
that nobody writes). Here every process is watched: when one dies, the others are stopped and the run ends with an error
within seconds. Nothing is lost by that; finished units have their markers.
"""

import json
import logging
import os
import subprocess
import sys
import threading
import weakref

from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_fn_api_pb2, beam_runner_api_pb2
from apache_beam.runners.job import utils as job_utils
from apache_beam.runners.portability.fn_api_runner import worker_handlers

from keytokens.pipelines import run_errors

_URN = "keytokens:environment:watched_worker_process:v1"
_LOOK_SEC = 0.5
_FAREWELL_SEC = 20.0  # for a worker to end by itself after its last bundle


class WorkerDiedError(run_errors.RunError):
    """A worker process ended before the pipeline did."""


def thread_environment(num_processes: int, num_cores: int) -> dict[str, str]:
    """Environment variables under which `num_processes` processes together start about `num_cores` busy threads.

    NPROC is what XLA's CPU client sizes its pools by, RAYON the tokenizers, OMP and OPENBLAS numpy. On a GPU the
    processes share its memory, of which each would otherwise reserve three quarters.
    """
    threads = str(max(1, num_cores // num_processes))
    names = ("NPROC", "RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    found = dict.fromkeys(names, threads)
    if num_processes > 1:
        found["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.75 / num_processes:.2f}"
    return found


class Crew:
    """The worker processes of one run: one death is the end of all.

    Args:
      pipeline_proto: the environments of Beam's own subprocess workers in it are replaced by ours.
      num_processes: how many there will be.
    """

    def __init__(self, pipeline_proto: beam_runner_api_pb2.Pipeline, num_processes: int):
        self.num_processes = num_processes
        self.error: WorkerDiedError | None = None
        self.closing = False  # from here on processes may end
        self._processes: list[subprocess.Popen] = []
        name = str(id(self))
        _crews[name] = self
        _quieten_broken_streams()
        for environment in pipeline_proto.components.environments.values():
            if environment.urn == python_urns.SUBPROCESS_SDK:
                environment.urn, environment.payload = _URN, name.encode()

    def start(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen:
        """Starts one process."""
        # In a group of its own: Ctrl-C is for the launcher, which ends its workers, not for each of them.
        process = subprocess.Popen(command, env=environment, process_group=0)
        self._processes.append(process)
        return process

    def look(self) -> None:
        """Sets `error` and stops everybody if somebody is dead."""
        if self.closing or self.error is not None:
            return
        dead = next((process for process in self._processes if process.poll() is not None), None)
        if dead is None:
            return
        how = f"signal {-dead.returncode}" if dead.returncode < 0 else f"exit status {dead.returncode}"
        self.error = WorkerDiedError(
            f"worker process {dead.pid} ended by {how} in the middle of the run (signal 9 is often the kernel's answer "
            "to memory running out); the other workers were stopped. Finished units are safe: launch again with the "
            "same flags to resume, perhaps with a smaller --direct_num_workers."
        )
        self.kill()

    def kill(self) -> None:
        """Ends everybody at once."""
        _somebody_died.set()
        for process in self._processes:
            process.kill()


_crews: weakref.WeakValueDictionary[str, Crew] = weakref.WeakValueDictionary()
_somebody_died = threading.Event()


def _is_stream_of_the_dead(error: BaseException | None) -> bool:
    """Whether a stream broke because its worker is dead, which the run's own error says better."""
    for crew in list(_crews.values()):
        crew.look()
    return _somebody_died.is_set() and type(error).__module__.split(".")[0] == "grpc"


class _NotOfTheDead(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and _is_stream_of_the_dead(record.exc_info[1]))


def _quieten_broken_streams() -> None:
    """Beam's threads that read a worker's streams would print 50 lines of traceback when it dies."""
    logger = logging.getLogger("apache_beam.runners.worker.data_plane")
    if any(isinstance(one, _NotOfTheDead) for one in logger.filters):
        return
    logger.addFilter(_NotOfTheDead())
    printing = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not _is_stream_of_the_dead(args.exc_value):
            printing(args)

    threading.excepthook = hook


@worker_handlers.WorkerHandler.register_environment(_URN, bytes)
class _WatchedWorker(worker_handlers.GrpcWorkerHandler):
    """One worker process and the thread that watches it."""

    def __init__(self, payload, state, provision_info, grpc_server):
        super().__init__(state, provision_info, grpc_server)
        self._crew = _crews[payload.decode()]
        self._closing = threading.Event()

    def start_worker(self) -> None:
        """Starts the process; Beam calls it once."""
        options = job_utils.struct_to_dict(self.provision_info.provision_info.pipeline_options)
        environment = {
            **thread_environment(self._crew.num_processes, len(os.sched_getaffinity(0))),
            **os.environ,
            "CONTROL_API_SERVICE_DESCRIPTOR": _text(self.control_api_service_descriptor().url),
            "LOGGING_API_SERVICE_DESCRIPTOR": _text(self.logging_api_service_descriptor().url),
            "PIPELINE_OPTIONS": json.dumps(options),
            "WORKER_ID": self.worker_id,
        }
        command = [sys.executable, "-m", "keytokens.pipelines.worker_main", str(os.getpid())]
        self._process = self._crew.start(command, environment)
        self._watcher = threading.Thread(target=self._watch, name=f"watch_{self.worker_id}", daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        while not self._closing.wait(_LOOK_SEC):
            self._crew.look()
            if self._crew.error is not None:
                self._answer_all(self._crew.error)

    def _answer_all(self, error: WorkerDiedError) -> None:
        """Ends every wait for this worker. `abort` alone does not: the reader of its data asks `is_done` only."""
        for future in list(self.control_conn._futures_by_id.values()):
            future.abort(error)
            future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=future.instruction_id, error=str(error)))

    def close(self) -> None:
        """Ends the process with the run; at once where it was interrupted, rather than after the unit in hand."""
        interrupted = isinstance(sys.exc_info()[1], KeyboardInterrupt)
        if not self._crew.closing:
            self._crew.look()  # a death may have shown first as a broken stream
            self._crew.closing = True
        if interrupted:
            self._crew.kill()
        self._closing.set()
        self._watcher.join()
        if self._crew.error is None and not interrupted:
            super().close()
        else:
            self.control_conn.close()  # the data streams of the dead are broken
            self.stop_worker()

    def stop_worker(self) -> None:
        """Waits for the process, which ends when its control stream does."""
        try:
            self._process.wait(_FAREWELL_SEC)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _text(url: str) -> str:
    """An ApiServiceDescriptor in protobuf's text format."""
    return f'url: "{url}"'
