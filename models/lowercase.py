"""Where in a text the characters of its lower case come from: not always from the same place."""

import numpy as np


def offsets_in_original(offsets: np.ndarray, text: str) -> np.ndarray:
    """Offsets into `text.lower()` as offsets into the text; int32 [L, 2], from and to (exclusive), both.

    A character may have two in lower case, as İ has: a token that holds either is where that character is. How many it
    has does not depend on the characters around it.
    """
    if len(text.lower()) == len(text):
        return offsets
    origins = np.repeat(np.arange(len(text), dtype=np.int32), [len(character.lower()) for character in text])
    begin, end = offsets[:, 0], offsets[:, 1]
    holds = end > begin
    moved = offsets.copy()
    moved[holds, 0] = origins[begin[holds]]
    moved[holds, 1] = origins[end[holds] - 1] + 1
    return moved
