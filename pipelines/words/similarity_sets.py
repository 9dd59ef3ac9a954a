"""Word pairs with human scores: WordSim-353, SimLex-999, MEN, RG-65 and others, `word word score` a line."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence

from keytokens.pipelines.words.word_list import read_lines


@dataclasses.dataclass(frozen=True)
class SimilaritySet:
    """One set.

    Attributes:
      name: of its file, without the suffix.
      left: words.
      right: words, as many.
      scores: of people, larger for more similar or more related.
    """

    name: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    scores: tuple[float, ...]


def read_similarity_sets(paths: Sequence[str]) -> list[SimilaritySet]:
    """The sets of these files; of a directory, of all its .txt files.

    Raises:
      ValueError: a path is not there, a directory has no .txt file, a line is not two words and a number.
    """
    files: list[pathlib.Path] = []
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            inside = sorted(path.glob("*.txt"))
            if not inside:
                raise ValueError(f"{path} has no .txt file, so no similarity set; give their directory or the files.")
            files += inside
        else:
            files.append(path)
    sets = [_read(path) for path in files]
    names = [each.name for each in sets]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"--similarity names {', '.join(twice)} twice; the report tells sets apart by file name.")
    return sets


def _read(path: pathlib.Path) -> SimilaritySet:
    rows = []
    for number, line in enumerate(read_lines(str(path)), start=1):
        fields = line.split("\t") if "\t" in line else line.split()
        try:
            left, right, score = (field.strip() for field in fields)
            value = float(score)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(
                f"{path}, line {number}: {line[:60]!r} is not two words and a finite number, tab-separated."
            )
        rows.append((left, right, value))
    if not rows:
        raise ValueError(f"{path} is empty; a similarity set has two words and a number a line.")
    left_words, right_words, scores = zip(*rows, strict=True)
    return SimilaritySet(path.stem, left_words, right_words, scores)
