"""Lists the registered embedders: checkpoint, backbone, LM head, adapters, pooling, prompts.

  python -m keytokens.pipelines.list_models

prints a few lines a name, at once and offline; --output writes the same as JSON. A model that is not listed works too:
give a directory or hub id that has sentence-transformers files, or say its pooling and prompt by flags.
"""

import dataclasses
import json
import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any

from keytokens import models
from keytokens.pipelines import cli

cli.declare_flags("output")

_WIDTH = 110


def rows() -> list[dict[str, Any]]:
    """The registry as JSON: one object a name, its recipe's fields among the others'; what is empty is left out."""
    found = []
    for name, row in models.ZOO.items():
        fields = dataclasses.asdict(row)
        recipe = fields.pop("recipe")
        found.append({"name": name, **{key: value for key, value in (fields | dict(recipe)).items() if value}})
    return found


def render(found: Sequence[dict[str, Any]]) -> str:
    """The registry for people."""
    lines = []
    for row in found:
        details = "; ".join(
            f"{key} {', '.join(value) if isinstance(value, list | tuple) else json.dumps(value, ensure_ascii=False)}"
            for key, value in row.items()
            if key not in ("name", "checkpoint")
        )
        lines.append(f"{row['name']:32}{row['checkpoint']}")
        lines += textwrap.wrap(details, _WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 4)
    return "\n".join(lines)


def main(argv: Sequence[str]) -> None:
    """Prints the registry."""
    del argv
    found = rows()
    print(render(found))
    if cli.OUTPUT.value:
        pathlib.Path(cli.OUTPUT.value).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=[])


if __name__ == "__main__":
    run()
