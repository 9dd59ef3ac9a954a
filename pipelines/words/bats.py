"""BATS 3.0, the Bigger Analogy Test Set (Gladkova, Drozd and Matsuoka, 2016): 4 groups of 10 categories of 50 pairs.

A file a category, named like "E01 [country - capital].txt"; a pair a line, `word<TAB>answer/answer/...`.
"""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

from keytokens.pipelines.words.word_list import read_lines

GROUPS = {"I": "inflectional", "D": "derivational", "E": "encyclopedic", "L": "lexicographic"}
MORPHOLOGICAL, SEMANTIC = ("I", "D"), ("E", "L")
_CODES = tuple(f"{group}{number:02}" for group in GROUPS for number in range(1, 11))
_FILE = re.compile(r"([IDEL](?:0[1-9]|10)) \[(.+)\]\.txt")


@dataclasses.dataclass(frozen=True)
class Category:
    """One of the 40.

    Attributes:
      code: "E01".
      name: "country - capital".
      words: of the pairs.
      answers: of each pair all accepted answers; the first stands for the relation.
    """

    code: str
    name: str
    words: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]

    @property
    def group(self) -> str:
        """The name of its group."""
        return GROUPS[self.code[0]]


def read_bats(directory: str) -> list[Category]:
    """All 40 categories, by code.

    Raises:
      ValueError: no such directory, a category is missing or stands twice, or a line is no pair.
    """
    root = pathlib.Path(directory)
    if not root.is_dir():
        raise ValueError(f"{directory} is no directory; --bats_dir is the one of BATS 3.0, with its four folders.")
    found: dict[str, pathlib.Path] = {}
    for path in sorted(root.rglob("*.txt")):
        if not (match := _FILE.fullmatch(path.name)):
            continue
        if match[1] in found:
            raise ValueError(f"{found[match[1]]} and {path} are both category {match[1]}; remove one.")
        found[match[1]] = path
    if missing := [code for code in _CODES if code not in found]:
        raise ValueError(
            f"{directory} has no category {', '.join(missing)} ({len(found)} of 40 are there), so averages would not "
            'be those of BATS. Files are named like "E01 [country - capital].txt", in the folder or below it; get BATS '
            "3.0 whole."
        )
    return [_read(code, found[code]) for code in _CODES]


def _read(code: str, path: pathlib.Path) -> Category:
    words, answers = [], []
    for number, line in enumerate(read_lines(str(path)), start=1):
        word, tab, accepted = line.partition("\t")
        each = tuple(dict.fromkeys(answer.strip() for answer in accepted.split("/") if answer.strip()))
        if not tab or not word.strip() or not each:
            raise ValueError(
                f"{path}, line {number}: {line[:60]!r} is no pair; a line is a word, a tab and answers separated by "
                "slashes."
            )
        words.append(word.strip())
        answers.append(each)
    name = _FILE.fullmatch(path.name)
    assert name
    return Category(code, name[2], tuple(words), tuple(answers))


def words_of(categories: Sequence[Category]) -> list[str]:
    """Every word and answer, distinct."""
    return list(
        dict.fromkeys(
            word
            for category in categories
            for pair in zip(category.words, category.answers, strict=True)
            for word in (pair[0], *pair[1])
        )
    )


def first_pairs(categories: Sequence[Category], groups: tuple[str, ...]) -> list[tuple[str, str]]:
    """The pairs (word, first answer) of these groups, distinct; a word that is its own answer is no pair."""
    pairs = (
        (word, accepted[0])
        for category in categories
        if category.code[0] in groups
        for word, accepted in zip(category.words, category.answers, strict=True)
    )
    return list(dict.fromkeys(pair for pair in pairs if pair[0] != pair[1]))
