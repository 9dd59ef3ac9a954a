"""Lists of words: a UTF-8 file, a word a line."""

import pathlib


def read_lines(path: str) -> list[str]:
    """Every line without its line end; blank lines at the end are dropped.

    Raises:
      ValueError: no such file, not UTF-8, or a blank line among the words.
    """
    try:
        text = pathlib.Path(path).read_text("utf-8")
    except FileNotFoundError as e:
        raise ValueError(f"{path}: no such word list. It is a UTF-8 file with one word a line.") from e
    except IsADirectoryError as e:
        raise ValueError(f"{path} is a directory; a word list is a UTF-8 file with one word a line.") from e
    except UnicodeDecodeError as e:
        raise ValueError(f"{path} is not UTF-8 (byte {e.start}); a word list is UTF-8, one word a line.") from e
    lines = [line.removesuffix("\r") for line in text.rstrip("\r\n").split("\n")] if text.strip() else []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise ValueError(f"{path}, line {number} is blank; every line is one word. Remove it.")
    return lines


def read_words(path: str) -> list[str]:
    """The distinct words of a list, stripped, in their order.

    Raises:
      ValueError: as `read_lines`, or no word at all.
    """
    words = list(dict.fromkeys(line.strip() for line in read_lines(path)))
    if not words:
        raise ValueError(f"{path} holds no word; it is a UTF-8 file with one word a line.")
    return words
