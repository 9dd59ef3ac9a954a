"""measure_alignment on small real stores: equal to the definitions, the control is another text, files for people."""

import csv
import json

import numpy as np
import pytest
from absl.testing import flagsaver

from keytokens.pipelines import measure_alignment, store_alignment
from keytokens.pipelines.analysis import alignment, bootstrap
from keytokens.pipelines.analysis.ragged import Ragged
from keytokens.pipelines.store import reader
from tests import small_run


@pytest.fixture(scope="module")
def stores() -> list[reader.StoreReader]:
    """Two models over one corpus of 90 rows in 6 units, five of them dead letters."""
    return [small_run.pair_store(), small_run.pair_store("backbone")]


@pytest.mark.parametrize("paper_compat", [False, True])
def test_the_store_shard_by_shard_equals_the_corpus_at_once(stores, paper_compat):
    store = stores[0]
    assert store.dims.num_units == 6, "there must be several blocks"
    measured = store_alignment.measure_store(store, hit_at=5, paper_compat=paper_compat)
    indices, _ = store.ranked_postings(0, 90)
    own = store.text_tokens(0, 90)
    definition = alignment.Definition(hit_at=5)
    if paper_compat:
        special = store.special_tokens()
        assert special.before == (2,) and special.after == (3,), "[CLS] and [SEP]"
        own, definition = own.around(special.before, special.after, where=own.lengths > 0), alignment.paper_code(5)
    found = measured.metrics["own"]
    expected = alignment.measure(indices, own, vocab_size=store.dims.vocab_size, definition=definition)
    for name in ("hit", "lar", "gar"):
        assert getattr(found, name).estimate == pytest.approx(getattr(expected, name).estimate, abs=1e-12)
    assert (found.num_texts, found.num_left_out) == (85, 5), "dead letters are no texts, special tokens or not"
    if not paper_compat:
        alive = ~store.column("dead_letter")
        hits_at_10 = store.column("hits_at_10")[alive]
        at_ten = store_alignment.measure_store(store).metrics["own"].hit.estimate
        assert at_ten == pytest.approx((hits_at_10 > 0).mean()), "what align_corpus counted with the model at hand"


def test_the_control_gives_every_text_the_tokens_of_another(stores):
    blocks = list(store_alignment._blocks(stores[0], seed=0))
    given = Ragged.of([others[row] for *_, others in blocks for row in range(len(others))])
    own = Ragged.of([tokens[row] for *_, tokens, _ in blocks for row in range(len(tokens))])
    texts = {tuple(own[row].tolist()) for row in range(len(own))}
    assert sum(1 for row in range(90) if given[row].size) == 85
    for row in range(90):
        assert bool(given[row].size) == bool(own[row].size)
        assert tuple(given[row].tolist()) in texts
    same = sum(np.array_equal(given[row], own[row]) for row in range(90) if own[row].size)
    assert same == 0


def test_stores_of_one_corpus_are_compared_text_by_text(stores):
    measured = [store_alignment.measure_store(store) for store in stores]
    [difference] = store_alignment.compare(measured)
    first, second = (one.metrics["own"] for one in measured)
    assert difference.hit.estimate == pytest.approx(second.hit.estimate - first.hit.estimate)
    assert difference.lar.estimate == pytest.approx(second.lar.estimate - first.lar.estimate)
    width = difference.lar.high - difference.lar.low
    assert width < (first.lar.high - first.lar.low) + (second.lar.high - second.lar.low)


def test_a_difference_of_a_single_text_has_no_interval():
    assert measure_alignment._signed(bootstrap.mean_interval(np.array([0.5]))) == "0.500 (no interval)"


def test_the_program_prints_and_writes(stores, tmp_path, capsys):
    urls = ",".join(store.files.url for store in stores)
    with flagsaver.flagsaver(store=urls, output_dir=str(tmp_path / "out"), k=5):
        measure_alignment.main([])
    out = capsys.readouterr().out
    assert out.count("Hit@5 ") == 3 and "text by text: Hit@5 " in out and "5 rows without tokens are left out" in out
    found = json.loads((tmp_path / "out" / "alignment.json").read_text("utf-8"))
    assert len(found["stores"]) == 2 and len(found["differences"]) == 1
    with (tmp_path / "out" / "alignment.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 4 * 3
    own = next(row for row in rows if row["against"] == "own" and row["metric"] == "LAR")
    assert float(own["estimate"]) == found["stores"][0]["metrics"]["own"]["lar"]["estimate"]
    assert (tmp_path / "out" / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "out" / "sweep.svg").read_text("utf-8")


def test_a_k_that_the_store_does_not_keep_is_refused(stores):
    with (
        flagsaver.flagsaver(store=stores[0].files.url, k=41),
        pytest.raises(ValueError, match=r"keeps k=40 key tokens a text, so that Hit@41 cannot be counted"),
    ):
        measure_alignment.main([])
