"""Repeats are those of a dictionary, whatever the hashes do, in a few bytes a row."""

import tracemalloc

import numpy as np
import pytest

from keytokens.pipelines import duplicates


def by_dictionary(ids: list[str]) -> list[duplicates.Repeat]:
    """The definition."""
    first: dict[str, int] = {}
    return [
        duplicates.Repeat(row, doc_id, first[doc_id])
        for row, doc_id in enumerate(ids)
        if first.setdefault(doc_id, row) != row
    ]


def random_ids(num_rows: int, num_different: int) -> list[str]:
    return [f"é{number}" for number in np.random.default_rng(0).integers(0, num_different, num_rows)]


@pytest.mark.parametrize(
    "ids",
    [
        *([], ["a"], ["a", "b"], ["a", "a"], ["", "", ""], ["a"] * 40),
        *(random_ids(500, number) for number in (3, 100, 10_000)),
        [*map(str, range(50)), *map(str, range(50))],
    ],
    ids=lambda ids: f"{len(ids)} rows, {len(set(ids))} ids",
)
@pytest.mark.parametrize("piece", [1, 7, 1 << 14])
def test_they_are_those_of_a_dictionary(monkeypatch, ids, piece):
    monkeypatch.setattr(duplicates, "_PIECE_ROWS", piece)
    assert list(duplicates.repeats(lambda: ids, len(ids))) == by_dictionary(ids)


@pytest.mark.parametrize("num_hashes", [1, 4])
def test_ids_that_share_64_bits_of_hash_are_told_apart(monkeypatch, num_hashes):
    digest = duplicates._digest
    weak = lambda doc_id: bytes([digest(doc_id)[0] % num_hashes] * 8) + digest(doc_id)[8:]  # noqa: E731
    monkeypatch.setattr(duplicates, "_digest", weak)
    ids = random_ids(300, 60)
    assert list(duplicates.repeats(lambda: ids, len(ids))) == by_dictionary(ids)


@pytest.mark.parametrize(("num_different", "bytes_a_row"), [(80_000, 8), (40_000, 12), (1, 8)])
def test_memory_is_a_few_bytes_a_row(monkeypatch, num_different, bytes_a_row):
    monkeypatch.setattr(duplicates, "_PIECE_ROWS", 1 << 9)  # two pieces of ids and their hashes take 0.2 MB
    rows = 80_000
    tracemalloc.start()
    try:
        repeated = sum(1 for _ in duplicates.repeats(lambda: (str(row % num_different) for row in range(rows)), rows))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert repeated == rows - num_different
    assert peak < bytes_a_row * rows + 0.3e6, f"{peak / rows:.1f} bytes a row"
