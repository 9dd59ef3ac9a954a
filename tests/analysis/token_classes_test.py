"""Which tokens carry content, in the spelling of the three kinds of tokenizers."""

import dataclasses

import pytest

from keytokens.pipelines.analysis.token_classes import TokenClasses, classify


def class_of(tokens, wanted, **options) -> str:
    found = classify(tokens, **options)
    return next(f.name for f in dataclasses.fields(TokenClasses) if getattr(found, f.name)[tokens.index(wanted)])


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("bread", "content"),
        ("the", "stop_word"),
        ("##ing", "piece"),
        ("##dough", "content"),
        ("##the", "stop_word"),
        (",", "punctuation"),
        ("2012", "content"),
        ("b", "piece"),
        ("##", "punctuation"),
        ("[CLS]", "special"),
        ("水", "content"),
    ],
)
def test_wordpiece(token, expected):
    assert class_of(["[CLS]", "##ing", token], token, special=[0]) == expected


@pytest.mark.parametrize("marker", ["Ġ", "▁"])
def test_vocabularies_that_mark_the_starts_of_words(marker):
    tokens = [f"{marker}bread", f"{marker}The", "ing", "dough", f"{marker},", marker, "<0x0A>", "Of"]
    expected = ["content", "stop_word", "piece", "content", "punctuation", "punctuation", "punctuation", "stop_word"]
    assert [class_of(tokens, token) for token in tokens] == expected


def test_every_token_has_one_class_and_stop_words_can_be_given():
    tokens = ["wing", "der", "x", "!"]
    found = classify(tokens, stop_words=frozenset({"der"}))
    total = sum(getattr(found, field.name).astype(int) for field in dataclasses.fields(TokenClasses))
    assert total.tolist() == [1, 1, 1, 1]
    assert found.stop_word.tolist() == [False, True, False, False]
