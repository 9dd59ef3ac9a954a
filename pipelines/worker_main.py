"""What a worker process runs: Beam's own worker, which here ends with the process that launched it.

Started by worker_processes.py, never by a person. A worker whose launcher was killed would otherwise go on embedding
units for nobody, beside the workers of the run that resumes.
"""

import logging
import os
import sys
import threading
import time

from apache_beam.runners.worker import sdk_worker_main

from keytokens.pipelines import own_errors

_LOOK_SEC = 1.0


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SEC)
    os._exit(1)


if __name__ == "__main__":
    own_errors.leave_to_the_end()
    # It would say of every start that its log began and that there is no Docker.
    logging.getLogger(sdk_worker_main.__name__).setLevel(logging.ERROR)
    threading.Thread(target=_end_with, args=[int(sys.argv[1])], daemon=True).start()
    sdk_worker_main.main(sys.argv)
