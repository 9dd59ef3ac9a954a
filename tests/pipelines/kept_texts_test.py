"""The texts that a run keeps for its report: chosen evenly in little memory, tokenised without a model."""

import math
import tracemalloc

import numpy as np
import pytest

from keytokens import models
from keytokens.models import tokenizing
from keytokens.pipelines import align_corpus, align_run, corpus, encoder, reading
from keytokens.pipelines.report import gather, saved_texts
from keytokens.pipelines.store import reader
from tests import small_run


def by_definition(dead: np.ndarray, unit_rows: int, wanted: int) -> set[int]:
    """Up to 20 units that have living rows, evenly; of each its share, evenly."""
    alive = np.flatnonzero(~dead)
    units = np.unique(alive // unit_rows)
    units = units[gather._spread(len(units), min(20, wanted))] if len(units) and wanted else []
    chosen: set[int] = set()
    for number, unit in enumerate(units):
        members = alive[alive // unit_rows == unit]
        share = math.ceil((wanted - len(chosen)) / (len(units) - number))
        chosen |= set(members[gather._spread(len(members), share)].tolist())
    return chosen


@pytest.mark.parametrize("wanted", [0, 1, 3, 20, 200, 5000])
@pytest.mark.parametrize(("rows", "unit_rows"), [(0, 4), (1, 4), (1000, 16), (1003, 7), (40, 4096)])
@pytest.mark.parametrize("share_dead", [0.0, 0.3, 0.97, 1.0])
def test_rows_are_those_of_the_definition(wanted, rows, unit_rows, share_dead):
    dead = np.random.default_rng(0).random(rows) < share_dead
    found = gather._chosen_rows(dead, unit_rows, wanted)
    assert found == by_definition(dead, unit_rows, wanted)
    assert len(found) <= wanted and not dead[sorted(found)].any()


def test_choosing_takes_no_memory_that_grows_with_the_rows():
    dead = np.zeros(4_000_000, bool)
    tracemalloc.start()
    try:
        found = gather._chosen_rows(dead, 4096, 200)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == 200
    assert peak < len(dead), f"{peak / len(dead):.2f} bytes a row"  # one unit's row numbers, and numbers of units


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> align_run.AlignOptions:
    """Those of a run that has ended."""
    options = small_run.options(tmp_path_factory.mktemp("run"))
    small_run.launch_without_engine(options)
    return options


@pytest.fixture
def ended(asked, monkeypatch):
    """A run that has ended, in a process that must not read weights."""

    def no_weights(*_, **__) -> None:
        raise AssertionError("weights were read to tokenise a few texts")

    monkeypatch.setattr(encoder, "shared_encoder", no_weights)
    monkeypatch.setattr(models, "load_embedder", no_weights)
    return align_run.prepare(asked)


def test_texts_are_kept_with_the_tokens_of_the_embedder_and_without_its_weights(ended, monkeypatch):
    run, planned = ended
    kept = []
    monkeypatch.setattr(saved_texts, "write", lambda files, texts: kept.extend(texts))
    gather.keep_texts(run, planned, num_texts=12)
    monkeypatch.undo()
    assert len(kept) == 12 and kept[0].row == 0
    documents = [row for unit in planned.units for row in reading.read_unit(unit) if isinstance(row, corpus.Document)]
    embedder = encoder.shared_encoder(run.model).embedder
    tokens = {document.text: embedder.tokenize([document.text])[0] for document in documents}
    for one in kept:
        assert one == saved_texts.of_tokens(one.row, one.doc_id, one.text, tokens[one.text])


def test_nothing_is_read_where_no_text_is_wanted(ended, monkeypatch):
    run, planned = ended

    def nothing(*_) -> None:
        raise AssertionError("read for no text")

    monkeypatch.setattr(tokenizing, "read_tokenizer", nothing)
    monkeypatch.setattr(reading, "read_unit", nothing)
    gather.keep_texts(run, planned, num_texts=0)
    assert saved_texts.read(reader.StoreReader(run.output)) == ()


def test_the_report_keeps_a_few_dead_letters_and_counts_all(ended, monkeypatch):
    run, planned = ended
    gather.keep_texts(run, planned, num_texts=1)
    store = reader.StoreReader(run.output)
    monkeypatch.setattr(gather, "_DEAD_LETTERS", 2)

    def all_in_memory() -> None:
        raise AssertionError("all dead letters were read into memory")

    letters = store.dead_letters()
    monkeypatch.setattr(store, "dead_letters", all_in_memory)
    gathered = gather.gather(store)
    assert list(gathered.dead_letters) == letters[:2]
    assert sum(gathered.dead_letter_counts.values()) == len(letters) > 2


@pytest.mark.parametrize("number", range(6))
def test_examples_are_spread_without_repeats(number):
    examples = list(range(number))
    for wanted in range(12):
        shown = align_corpus.spread(examples, wanted)
        assert len(shown) == len(set(shown)) == min(number, wanted)
        assert not shown or (shown[0] == 0 and (len(shown) < 2 or shown[-1] == number - 1))
