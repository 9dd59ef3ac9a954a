"""Texts to tokens: which count in pooling, which are the text's own, and where they stand in it.

L tokens of one text.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keytokens.models.errors import ModelError
from keytokens.models.hugging_face import import_transformers
from keytokens.models.recipe import Recipe


@dataclasses.dataclass(frozen=True, eq=False)
class Tokens:
    """One text as the model reads it.

    Attributes:
      ids: int32 [L]; prompt and special tokens included.
      pooled: bool [L]; counts in pooling.
      text: bool [L]; belongs to the text itself, neither special nor prompt (the T_s of the papers).
      offsets: int32 [L, 2]; its characters in the text, from and to (exclusive); (0, 0) for other tokens.
      truncated: the end of the text did not fit.
    """

    ids: np.ndarray
    pooled: np.ndarray
    text: np.ndarray
    offsets: np.ndarray
    truncated: bool


def read_tokenizer(directory: str) -> Any:
    """The fast tokenizer of a checkpoint directory; code that comes with it is never run.

    Raises:
      ModelError: there is none, or only one written in Python, which knows no character offsets.
    """
    try:
        tokenizer = import_transformers().AutoTokenizer.from_pretrained(
            directory, trust_remote_code=False, use_fast=True
        )
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        raise ModelError(
            f"{directory} has no tokenizer that can be read ({error}); download its tokenizer files."
        ) from error
    if not tokenizer.is_fast:
        raise ModelError(
            f"{directory} has a tokenizer without tokenizer.json; convert it, character offsets are needed."
        )
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


class TextTokenizer:
    """Applies a recipe's prompt, brackets, end token and length to a tokenizer.

    Args:
      tokenizer: from `read_tokenizer`.
      recipe: of the embedder.
      query: whether texts are queries.

    Raises:
      ModelError: the prompt leaves no room for a text, or the recipe needs a token that the vocabulary lacks.
    """

    def __init__(self, tokenizer: Any, recipe: Recipe, *, query: bool = False):
        self._encode_batch = tokenizer.backend_tokenizer.encode_batch
        self._is_special = np.zeros(len(tokenizer), bool)
        self._is_special[list(tokenizer.all_special_ids)] = True
        self._recipe = recipe
        self._before, self._after = recipe.around(query=query)
        self._space = int(self._before.endswith(" "))
        self._opening, self._closing = _bracket_ids(tokenizer, recipe.bracketed(query=query))
        self._end = _end_id(tokenizer, recipe.end_token) if recipe.end_token else None
        self._mask = _mask_id(tokenizer) if recipe.pooling == "mask" else None
        around = self([""])[0]
        if self._mask is not None and around.pooled.sum() != 1:
            raise ModelError(
                f"pooling='mask' needs a prompt with one {tokenizer.mask_token}, but "
                f"{self._before + self._after!r} has {around.pooled.sum()}."
            )
        if len(around.ids) >= recipe.max_length:
            raise ModelError(
                f"max_length={recipe.max_length} is used up by the {len(around.ids)} tokens of prompt and special "
                "tokens; no text would be read. Raise max_length or shorten the prompt."
            )

    def __call__(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text."""
        if self._recipe.lowercase:
            texts = [text.lower() for text in texts]
        encodings = self._encode_batch([self._before + text + self._after for text in texts])
        return [self._lay_out(encoding, len(text)) for encoding, text in zip(encodings, texts, strict=True)]

    def _lay_out(self, encoding: Any, num_chars: int) -> Tokens:
        """Cuts the text, and only the text, to the length; encloses it with brackets; appends the end token."""
        ids = np.asarray(encoding.ids, np.int32)
        spans = np.asarray(encoding.offsets, np.int32).reshape(-1, 2) - len(self._before)
        added = np.asarray(encoding.special_tokens_mask, bool)
        begin, end = spans[:, 0], spans[:, 1]
        # A token is the text's own if it covers a character of it (" word" may begin in the prompt's last space), or is
        # that space: some vocabularies write the space before a rare word as a token, and so it is counted by LLM2Vec.
        inside = ((end > 0) | (begin >= -self._space)) & (begin < num_chars) & (end > begin) & ~added
        own = np.flatnonzero(inside)
        start, stop = (own[0], own[-1] + 1) if own.size else [_place(begin, added)] * 2
        before, middle, after = ids[:start], ids[start:stop], ids[stop:]
        if self._end is not None and not (ids.size and ids[-1] == self._end):
            after = np.append(after, self._end)

        around = len(before) + len(self._opening) + len(self._closing) + len(after)
        kept = min(len(middle), max(0, self._recipe.max_length - around))
        parts = (before, self._opening, middle[:kept], self._closing, after)
        laid = np.concatenate(parts).astype(np.int32)
        first = len(before) + len(self._opening)
        place = slice(first, first + kept)
        text = np.zeros(laid.size, bool)
        text[place] = inside[start : start + kept] & ~self._is_special[laid[place]]
        offsets = np.zeros((laid.size, 2), np.int32)
        offsets[place] = np.clip(spans[start : start + kept], 0, num_chars)
        offsets[~text] = 0
        return Tokens(laid, self._pooled(laid, place), text, offsets, truncated=kept < len(middle))

    def _pooled(self, ids: np.ndarray, place: slice) -> np.ndarray:
        """Which tokens count, the text being at `place`."""
        if self._mask is not None:
            pooled = ids == self._mask
            pooled[place] = False
            return pooled
        pooled = np.ones(ids.size, bool)
        if not self._recipe.include_special:
            pooled &= ~self._is_special[ids]
        if not self._recipe.include_prompt and self._before + self._after:
            pooled[: place.start] = False
            pooled[place.stop :] &= self._is_special[ids[place.stop :]]
        return pooled


def _place(begin: np.ndarray, added: np.ndarray) -> int:
    """Where an empty text would stand: after the prompt's tokens, or after the first special token."""
    prompt = np.flatnonzero((begin < 0) & ~added)
    if prompt.size:
        return int(prompt[-1]) + 1
    return int(bool(added.size and added[0]))


def _mask_id(tokenizer: Any) -> int:
    if tokenizer.mask_token_id is None:
        raise ModelError("pooling='mask' needs a mask token, and this tokenizer has none.")
    return int(tokenizer.mask_token_id)


def _end_id(tokenizer: Any, token: str) -> int:
    found = tokenizer.backend_tokenizer.token_to_id(token)
    if found is None:
        raise ModelError(f"the recipe ends texts with {token!r}, which is not in this tokenizer's vocabulary.")
    return int(found)


def _bracket_ids(tokenizer: Any, brackets: str) -> tuple[np.ndarray, np.ndarray]:
    """Each bracket's one token: SGPT puts ids around a text that was tokenised without them."""
    found = []
    for bracket in brackets:
        ids = tokenizer.backend_tokenizer.encode(bracket, add_special_tokens=False).ids
        if len(ids) != 1:
            raise ModelError(f"bracket {bracket!r} is {len(ids)} tokens in this vocabulary; it must be one.")
        found.append(np.asarray(ids, np.int32))
    none = np.zeros(0, np.int32)
    return (found[0], found[1]) if found else (none, none)
