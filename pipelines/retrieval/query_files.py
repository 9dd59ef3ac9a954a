"""Queries from a file: BEIR's JSON lines, or plain text."""

import json
import pathlib


def read_queries(path: str) -> dict[str, str]:
    """Id -> text; lines of plain text are numbered from 1.

    Raises:
      ValueError: a line of a .jsonl file that is no query, a repeated id, or no query at all.
    """
    found: dict[str, str] = {}
    with pathlib.Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            name, text = str(number), line.rstrip("\n")
            if path.endswith(".jsonl"):
                try:
                    record = json.loads(line)
                    name, text = str(record["_id"]), str(record["text"])
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(f"{path}:{number} is no query with _id and text ({error!r}).") from error
            if name in found:
                raise ValueError(
                    f"{path}:{number} repeats the id {name!r}; a run could not tell the two queries apart."
                )
            found[name] = text
    if not found:
        raise ValueError(f"{path} holds no query.")
    return found
