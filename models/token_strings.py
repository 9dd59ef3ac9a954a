"""What vocabulary entries look like: as the tokenizer stores them, and for people."""

import functools
from typing import Any


def token_strings(tokenizer: Any, vocab_size: int) -> list[str]:
    """One string per row of an LM head, such as "##ing" or "Ġthe".

    Args:
      tokenizer: fast tokenizer.
      vocab_size: rows of the head. Heads are often padded beyond the vocabulary: such rows are called <unused N>.
    """
    known = min(vocab_size, len(tokenizer))
    strings = tokenizer.convert_ids_to_tokens(list(range(known)))
    named = [f"<unused {number}>" if string is None else string for number, string in enumerate(strings)]
    return named + [f"<unused {number}>" for number in range(known, vocab_size)]


@functools.cache
def _byte_of_character() -> dict[str, int]:
    """GPT-2 writes each byte as a printable character: itself where it is one, else one from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + rank): byte for rank, byte in enumerate(others)}


def render_token(piece: str) -> str:
    """The piece as people read it: spaces as spaces; what is not whole UTF-8, and "##ing", as stored."""
    if "▁" in piece:
        return piece.replace("▁", " ")
    table = _byte_of_character()
    if piece.isascii() or not all(character in table for character in piece):
        return piece
    try:
        return bytes(table[character] for character in piece).decode("utf-8")
    except UnicodeDecodeError:
        return piece
