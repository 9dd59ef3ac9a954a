"""JSON files of a checkpoint, which anyone may have written: types are checked before anything is made of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from keytokens.models.errors import ModelError

T = TypeVar("T")
_WORDS: dict[type, str] = {
    dict: "an object {...}",
    list: "a list [...]",
    str: "a text",
    bool: "true or false",
    int: "a whole number",
}
_SHOWN = 60


def read_json(file: Path, kind: type[T], *, missing: T | None = None) -> T:
    """What the file holds, which is of this kind; `missing`, if that is given, where there is no file.

    Raises:
      ModelError: no file, one that cannot be read, is not JSON, or holds something of another kind.
    """
    try:
        content = json.loads(file.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        if missing is not None:
            return missing
        raise ModelError(f"{file} is missing, and what it says cannot be guessed; download it.") from error
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error}; check its permissions, or download it again.") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file} is not valid JSON: {error}; download it again.") from error
    if type(content) is not kind:
        raise ModelError(
            f"{file} holds {shown(content)} where {_WORDS[kind]} has to be, so it is no such file; download it again."
        )
    return content


def setting(content: Mapping[str, Any], name: str, kind: type[T], *, file: Path) -> T | None:
    """The value of this name, which is of this kind; None where it is absent or null.

    Raises:
      ModelError: it is of another kind; true is no whole number, and 512.0 and "512" are none either.
    """
    value = content.get(name)
    if value is None:
        return None
    if type(value) is not kind:
        raise ModelError(
            f"{file} says {name}={shown(value)}, which has to be {_WORDS[kind]}: what was meant cannot be guessed. "
            "Correct the file, or download it again."
        )
    return value


def shown(value: Any) -> str:
    """The value for a message, its end left out if it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
