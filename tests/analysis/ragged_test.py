"""Ragged lists: taken, filtered and surrounded as plain Python lists would be."""

import numpy as np

from keytokens.pipelines.analysis.ragged import Ragged

LISTS = [[3, 1, 3], [], [7], [0, 2]]


def lists(ragged: Ragged) -> list[list[int]]:
    return [ragged[row].tolist() for row in range(len(ragged))]


def test_lists_come_back():
    ragged = Ragged.of(LISTS)
    assert lists(ragged) == LISTS and ragged.lengths.tolist() == [3, 0, 1, 2]
    assert ragged.rows.tolist() == [0, 0, 0, 2, 3, 3]
    assert len(Ragged.of([])) == 0 and Ragged.of([]).ids.dtype == np.int32


def test_rows_are_taken_in_any_order_and_more_than_once():
    assert lists(Ragged.of(LISTS).take(np.array([3, 1, 0, 3]))) == [[0, 2], [], [3, 1, 3], [0, 2]]


def test_ids_are_kept_by_a_mask_of_the_vocabulary():
    wanted = np.zeros(8, bool)
    wanted[[3, 7]] = True
    assert lists(Ragged.of(LISTS).keep(wanted)) == [[3, 3], [], [7], []]


def test_the_same_ids_are_put_around_the_lists_that_are_named():
    found = Ragged.of(LISTS).around([9], [5, 6], where=np.array([True, True, False, True]))
    assert lists(found) == [[9, 3, 1, 3, 5, 6], [9, 5, 6], [7], [9, 0, 2, 5, 6]]
