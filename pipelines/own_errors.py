"""Which errors are ours once Beam has passed them on as text, and how its log leaves them to the one line at the end.

Beam logs an error in a DoFn with its traceback where it was raised, again where it is passed on, and once more where
a worker process sends it to its launcher: 450 lines (seen in 2.77) around a sentence that `cli.run` prints anyway.
"""

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Any

_PACKAGE = "keytokens."
_STEP = r" \[while running '"
# The last lines of a traceback are the error's type and message; a message may have several lines.
_OWN_ERROR = re.compile(rf"^keytokens\.[\w.]+Error: (.+?)(?={_STEP}|\n\n|\Z)", re.MULTILINE | re.DOTALL)
# Where Beam logs what a DoFn has raised, in the launcher and in a worker process.
_LOGGERS = (
    "apache_beam.runners.common",
    "apache_beam.runners.worker.bundle_processor",
    "apache_beam.runners.worker.sdk_worker",
)


def message(text: str) -> str | None:
    """What our error says whose traceback a worker sent; None where the error is none of ours."""
    found = _OWN_ERROR.findall(text)
    return found[-1].rstrip() if found else None


def drop_step(error: BaseException) -> None:
    """Takes the step, which Beam puts behind the message of what a DoFn raises, off an error of ours."""
    if type(error).__module__.startswith(_PACKAGE) and error.args and isinstance(error.args[0], str):
        error.args = (re.sub(rf"{_STEP}[^']*'\]\Z", "", error.args[0]), *error.args[1:])


def is_interrupt(error: BaseException) -> bool:
    """Whether somebody pressed Ctrl-C: Beam makes a RuntimeError of what a DoFn then raises."""
    return isinstance(error, KeyboardInterrupt) or re.match(rf"KeyboardInterrupt{_STEP}", str(error)) is not None


@contextlib.contextmanager
def resumable() -> Iterator[None]:
    """Adds to an interruption of the body what it means for a run."""
    try:
        yield
    except BaseException as error:
        if not is_interrupt(error):
            raise
        raise KeyboardInterrupt("finished units are safe, launch again with the same flags") from error


def leave_to_the_end() -> None:
    """Keeps this process's Beam silent about errors of ours and interruptions; what else goes wrong it still prints."""
    from apache_beam.runners.worker import sdk_worker  # here: Beam takes 1.3 s, and `message` needs none of it

    sdk_worker.print = _print_not_ours  # type: ignore[attr-defined]  # beside its log, it prints every traceback
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, _NotOurs) for one in logger.filters):
            logger.addFilter(_NotOurs())


def _print_not_ours(text: str, **arguments: Any) -> None:
    if message(text) is None:
        print(text, **arguments)


class _NotOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, KeyboardInterrupt) or type(error).__module__.startswith(_PACKAGE):
            return False
        return message(record.getMessage()) is None
