"""Offsets into a text's lower case lead back to the text."""

import sys

import numpy as np
import pytest

from keytokens.models.lowercase import offsets_in_original


@pytest.mark.parametrize(
    ("text", "lowered", "original"),
    [
        ("ABC", [[0, 1], [1, 3]], [[0, 1], [1, 3]]),
        # Of İ, lower case i and a dot: either one and both are the one character.
        ("aİb", [[0, 1], [1, 2], [2, 3], [1, 3], [3, 4], [0, 4]], [[0, 1], [1, 2], [1, 2], [1, 2], [2, 3], [0, 3]]),
        ("İİ", [[2, 4], [1, 3], [0, 0]], [[1, 2], [0, 2], [0, 0]]),
        ("", [[0, 0]], [[0, 0]]),
    ],
)
def test_offsets_lead_back(text, lowered, original):
    found = offsets_in_original(np.asarray(lowered, np.int32), text)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, original)


def test_lower_case_of_a_text_is_as_long_as_that_of_its_characters():
    # The final sigma depends on its neighbours, but not in length.
    assert "ΑΣ".lower() != "".join(character.lower() for character in "ΑΣ")
    every = [chr(code) for code in range(sys.maxunicode + 1)]
    assert len("".join(every).lower()) == sum(len(character.lower()) for character in every)
    assert min(len(character.lower()) for character in every) == 1
