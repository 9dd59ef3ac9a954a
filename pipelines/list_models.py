"""Lists the registered embedders: checkpoint, backbone, LM head, adapters, pooling, prompts.

  python -m keytokens.pipelines.list_models

prints a few lines a name, at once and offline; --output writes the same as JSON. A model that is not listed works too:
give a directory or hub id that has sentence-transformers files, or say its pooling and prompt by flags.
"""

import json
import textwrap
from collections.abc import Sequence
from typing import Any

from keytokens.models import registry
from keytokens.pipelines import cli

cli.declare_flags("output")

_WIDTH = 110


def render(found: Sequence[dict[str, Any]]) -> str:
    """The registry for people; what is empty, or stands in the checkpoint's own files, is left out."""
    lines = []
    for row in found:
        details = "; ".join(
            f"{key} {', '.join(value) if isinstance(value, list) else json.dumps(value, ensure_ascii=False)}"
            for key, value in row.items()
            if key not in ("name", "checkpoint") and value and value != registry.FROM_FILES
        )
        lines.append(f"{row['name']:32}{row['checkpoint']}")
        lines += textwrap.wrap(details, _WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 4)
    return "\n".join(lines)


def main(argv: Sequence[str]) -> None:
    """Prints the registry."""
    del argv
    found = registry.registry_rows()
    print(render(found))
    cli.write_json_output(found)


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=[])


if __name__ == "__main__":
    run()
