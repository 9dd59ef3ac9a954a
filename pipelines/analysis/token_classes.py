"""Which vocabulary entries carry content, and which are stop words, punctuation or pieces of either?

A stop word or a comma stands in every text, so that a model which always predicts them "aligns" with any text. V
vocabulary entries.
"""

import dataclasses
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

# The closed classes of English.
_CLOSED_CLASSES = {
    "articles, determiners, quantifiers": """
        a an the this that these those each every either neither some any no none all both half few fewer little less
        many much more most several enough another other others such same own one ones""",
    "pronouns": """
        i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers
        herself it its itself they them their theirs themselves who whom whose which what whoever whatever whichever
        someone somebody something anyone anybody anything everyone everybody everything nobody nothing""",
    "auxiliaries and modals": """
        am is are was were be been being have has had having do does did doing done can could may might must shall
        should will would ought need dare""",
    "prepositions and particles": """
        about above across after against along among around as at before behind below beneath beside besides between
        beyond by despite down during except for from in inside into like near of off on onto out outside over past per
        since than through throughout to toward towards under underneath until till up upon via with within without""",
    "conjunctions": """
        and but or nor so yet if unless because although though while whereas whether when whenever where wherever""",
    "other adverbs, negation, answers": """
        not never ever always also too very just only even still again once twice then there here now thus hence how why
        however therefore rather quite almost already perhaps maybe yes well else instead away back""",
    "contractions, as tokenizers split them": """
        s t d m ll re ve nt don didn doesn isn aren wasn weren hasn haven hadn won wouldn couldn shouldn ain mustn""",
}
STOP_WORDS = frozenset(" ".join(_CLOSED_CLASSES.values()).split())
# What a piece of a word must have to carry content of its own: "ing", "##ed" and "es" do not.
_PIECE_CHARS = 4
_WORD_CHARS = 2


@dataclasses.dataclass(frozen=True)
class TokenClasses:
    """bool [V] each; a token belongs to one class.

    Attributes:
      content: words and word pieces that mean something by themselves; numbers among them.
      stop_word: the closed classes of the language.
      punctuation: without a letter or digit: punctuation, white space, symbols, bytes.
      piece: pieces of words, and single letters, too short to mean something.
      special: no text at all.
    """

    content: np.ndarray
    stop_word: np.ndarray
    punctuation: np.ndarray
    piece: np.ndarray
    special: np.ndarray


def classify(
    tokens: Sequence[str], *, special: Iterable[int] = (), stop_words: frozenset[str] = STOP_WORDS
) -> TokenClasses:
    """The class of every vocabulary entry.

    Args:
      tokens: V strings as the tokenizer spells them; "##" marks pieces, or "Ġ" or "▁" the starts of words.
      special: ids that are no text.
      stop_words: in lower case.
    """
    count = len(tokens)
    found = {name: np.zeros(count, bool) for name in ("content", "stop_word", "punctuation", "piece", "special")}
    found["special"][list(special)] = True
    starts = _word_start_marker(tokens)
    for index, token in enumerate(tokens):
        if found["special"][index]:
            continue
        word, is_piece = _bare(token, starts)
        found[_class_of(word, is_piece, stop_words)][index] = True
    return TokenClasses(**found)


def _word_start_marker(tokens: Sequence[str]) -> str:
    """The character that starts words in this vocabulary; '' where pieces are marked instead, or nothing is."""
    if any(token.startswith("##") for token in tokens):
        return ""
    counts = {marker: sum(token.startswith(marker) for token in tokens) for marker in ("Ġ", "▁")}
    marker = max(counts, key=lambda key: counts[key])
    return marker if counts[marker] else ""


def _bare(token: str, starts: str) -> tuple[str, bool]:
    """The token without its marker, in lower case, and whether it continues a word."""
    if not starts:
        return token.removeprefix("##").lower(), token.startswith("##") and len(token) > 2
    return token.lstrip(starts).lower(), not token.startswith(starts)


def _class_of(word: str, is_piece: bool, stop_words: frozenset[str]) -> str:
    if not any(unicodedata.category(character)[0] in "LN" for character in word) or _is_byte(word):
        return "punctuation"
    if word in stop_words:
        return "stop_word"
    ideographic = any(unicodedata.category(character) == "Lo" for character in word)
    needed = 1 if ideographic else _PIECE_CHARS if is_piece else _WORD_CHARS
    return "content" if len(word) >= needed else "piece"


def _is_byte(word: str) -> bool:
    """Sentencepiece spells a byte that it has no token for as <0x0A>."""
    return len(word) == 6 and word.startswith("<0x") and word.endswith(">")
