"""What this package raises when a checkpoint or a name is not what it has to be."""

from collections.abc import Sequence


class ModelError(ValueError):
    """A name, directory, configuration or checkpoint that cannot be used as asked."""


def raise_together(problems: Sequence[str], *, where: str, cure: str) -> None:
    """Raises one error that lists all problems, or returns if there are none."""
    if problems:
        listed = "\n  ".join(problems)
        raise ModelError(f"{where} has {len(problems)} problem(s):\n  {listed}\n{cure}")
