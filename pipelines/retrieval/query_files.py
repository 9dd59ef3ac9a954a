"""Queries from a file: BEIR's JSON lines, or plain text; gzip where the name ends in .gz."""

import gzip
import json
import pathlib
import zlib
from typing import IO

from keytokens.pipelines import corpus


def read_queries(path: str, *, allow_empty: bool = False) -> dict[str, str]:
    """Id -> text; lines of plain text are numbered from 1, and blank ones are passed over.

    Args:
      path: of the file.
      allow_empty: whether texts may be empty, where the caller searches for some of the queries only.

    Raises:
      ValueError: a file that cannot be read, a line of a JSON file that is no query, a repeated id, or no query at all.
    """
    json_lines = corpus.is_json_lines(path)
    found: dict[str, str] = {}
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                name, text = _record(line, f"{path}:{number}") if json_lines else (str(number), line.rstrip("\n"))
                if name in found:
                    raise ValueError(
                        f"{path}:{number} repeats the id {name!r}; a run could not tell the two queries apart."
                    )
                if not (text.strip() or allow_empty):
                    raise ValueError(
                        f"{path}:{number}: the text of query {name!r} is empty, so there is nothing to search for. "
                        "Leave the line out."
                    )
                found[name] = text
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}), so nothing was searched. Queries are UTF-8 text or JSON lines, and gzip "
            "where the name ends in .gz."
        ) from error
    if not found:
        raise ValueError(f"{path} holds no query.")
    return found


def _opened(path: str) -> IO[str]:
    if path.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return pathlib.Path(path).open(encoding="utf-8-sig")


def _record(line: str, place: str) -> tuple[str, str]:
    """Id and text of a JSON line.

    Raises:
      ValueError: it has none; whatever else stands there would be searched as its spelling in Python.
    """
    rule = 'a query is an object like {"_id": "q1", "text": "what to search for"}'
    try:
        record = json.loads(line)
        name, text = record["_id"], record["text"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{place} is no query ({error!r}): {rule}.") from error
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise ValueError(
            f"{place} is no query: its _id is of type {type(name).__name__}, not a string or an integer; {rule}."
        )
    if not isinstance(text, str):
        raise ValueError(f"{place} is no query: its text is of type {type(text).__name__}, not a string; {rule}.")
    return str(name), text
