"""What ends a run that has begun. Nothing that is done is lost: launching again with the same flags resumes."""


class RunError(RuntimeError):
    """The run ended before its corpus did; the message says why and what to do."""
