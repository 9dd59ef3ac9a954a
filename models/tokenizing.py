"""Texts to tokens: which count in pooling, which are the text's own, and where they stand in it.

L tokens of one text.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from keytokens.models.errors import ModelError
from keytokens.models.hugging_face import import_transformers
from keytokens.models.lowercase import offsets_in_original
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
    except Exception as error:  # Of damaged files tokenizers raises Exception itself, transformers whatever comes.
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
        # Ids may have gaps, so the largest counts, not their number.
        self._is_special = np.zeros(max(tokenizer.get_vocab().values()) + 1, bool)
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
        lowercase = self._recipe.lowercase
        read = [text.lower() for text in texts] if lowercase else texts
        encodings = self._encode_batch([self._before + text + self._after for text in read])
        found = [self._lay_out(part) for part in self._encoded(encodings, [len(text) for text in read])]
        if not lowercase:
            return found
        return [
            dataclasses.replace(tokens, offsets=offsets_in_original(tokens.offsets, text))
            for tokens, text in zip(found, texts, strict=True)
        ]

    def _encoded(self, encodings: Sequence[Any], num_chars: Sequence[int]) -> Iterator["_Encoded"]:
        """What the tokenizer made of each text. All texts at once: numpy's calls cost more than its work here."""
        sizes = np.asarray([len(encoding) for encoding in encodings], np.int64)
        ids, added = (_joined(getattr(each, name) for each in encodings) for name in ("ids", "special_tokens_mask"))
        spans = _joined(itertools.chain.from_iterable(each.offsets for each in encodings)).reshape(-1, 2)
        spans -= len(self._before)
        begin, end = spans[:, 0], spans[:, 1]
        limit = np.repeat(np.asarray(num_chars, np.int32), sizes)
        # A token is the text's own if it covers a character of it (" word" may begin in the prompt's last space), or is
        # that space: some vocabularies write the space before a rare word as a token, and so it is counted by LLM2Vec.
        inside = ((end > 0) | (begin >= -self._space)) & (begin < limit) & (end > begin) & (added == 0)
        text = inside & ~self._is_special[ids]
        offsets = np.where(text[:, None], np.minimum(np.maximum(spans, 0), limit[:, None]), 0)
        prompt = (begin < 0) & ~inside & (added == 0)
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        for start, stop in itertools.pairwise(bounds.tolist()):
            part = slice(start, stop)
            yield _Encoded(ids[part], inside[part], text[part], offsets[part], prompt[part], added[part])

    def _lay_out(self, encoded: "_Encoded") -> Tokens:
        """Cuts the text, and only the text, to the length; encloses it with brackets; appends the end token."""
        ids = encoded.ids
        start, stop = encoded.place()
        before, after = ids[:start], ids[stop:]
        if self._end is not None and not (after.size and after[-1] == self._end):
            after = np.append(after, self._end).astype(np.int32)
        around = len(before) + len(self._opening) + len(self._closing) + len(after)
        kept = min(stop - start, max(0, self._recipe.max_length - around))
        if around + kept == ids.size:
            # Nothing is added and nothing is cut.
            return Tokens(ids, self._pooled(ids, slice(start, stop)), encoded.text, encoded.offsets, truncated=False)
        laid = np.concatenate([before, self._opening, ids[start : start + kept], self._closing, after])
        first = len(before) + len(self._opening)
        place = slice(first, first + kept)
        text, offsets = np.zeros(laid.size, bool), np.zeros((laid.size, 2), np.int32)
        text[place] = encoded.text[start : start + kept]
        offsets[place] = encoded.offsets[start : start + kept]
        return Tokens(laid, self._pooled(laid, place), text, offsets, truncated=kept < stop - start)

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


class _Encoded(NamedTuple):
    """What the tokenizer made of one text: int32 and bool [L], offsets int32 [L, 2].

    Attributes:
      ids: all tokens.
      inside: lies within the text, special or not.
      text: is the text's own.
      offsets: in the text; (0, 0) for other tokens.
      prompt: lies before the text.
      added: not 0 for special tokens that the tokenizer put around.
    """

    ids: np.ndarray
    inside: np.ndarray
    text: np.ndarray
    offsets: np.ndarray
    prompt: np.ndarray
    added: np.ndarray

    def place(self) -> tuple[int, int]:
        """From and to (exclusive) where the text stands; an empty one after the prompt or the first special token."""
        own = self.inside.nonzero()[0]
        if own.size:
            return int(own[0]), int(own[-1]) + 1
        prompt = self.prompt.nonzero()[0]
        place = int(prompt[-1]) + 1 if prompt.size else int(self.ids.size > 0 and self.added[0] > 0)
        return place, place


def _joined(parts: Iterable[Iterable[int]]) -> np.ndarray:
    """All numbers of all parts, int32 [n]."""
    return np.fromiter(itertools.chain.from_iterable(parts), np.int32)


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
