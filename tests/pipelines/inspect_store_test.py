"""inspect_store: what is there, what is missing, and every kind of damage found where it is."""

import json
import pathlib

import pytest
from absl.testing import flagsaver

from keytokens.pipelines import align_run, inspect_store, unit_work
from tests import small_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """The files of an undamaged store of 90 rows in 6 units."""
    asked = small_run.options(tmp_path_factory.mktemp("whole"), save_embeddings=True)
    small_run.launch(asked)
    return small_run.contents(asked.output)


@pytest.fixture
def store(whole, tmp_path) -> pathlib.Path:
    for key, value in whole.items():
        (tmp_path / "out.zarr" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out.zarr" / key).write_bytes(value)
    return tmp_path / "out.zarr"


def test_a_whole_store_is_whole(store):
    found = inspect_store.inspect(str(store), verify=True, num_dead_letters=2)
    assert found["complete"] and found["damage"] == [] and found["missing_units"] == []
    assert (found["units_done"], found["units"], found["rows_done"]) == (6, 6, 90)
    assert sum(found["dead_letters"].values()) - found["dead_letters"]["duplicate_id"] == 5
    assert 0 < found["padding_share"] < 1
    text = inspect_store.render(found)
    assert "complete: 6 of 6 units, 90 of 90 rows" in text and "every finished unit reads back whole" in text
    assert "a.jsonl:17 (row 16): not JSON" in text


def test_an_interrupted_run_names_its_missing_units(tmp_path, capsys):
    asked = small_run.options(tmp_path)
    run, planned = align_run.prepare(asked)
    for unit in (planned.units[0], planned.units[2], planned.units[5]):
        unit_work.process(run, unit)
    found = inspect_store.inspect(asked.output, verify=True)
    assert not found["complete"] and found["missing_units"] == [1, 3, 4] and found["damage"] == []
    with flagsaver.flagsaver(store=asked.output, output=str(tmp_path / "found.json")), pytest.raises(SystemExit) as end:
        inspect_store.main([])
    assert end.value.code == 1
    out = capsys.readouterr().out
    assert "NOT COMPLETE: 3 of 6 units, 42 of 90 rows" in out and "missing units: 1 3 4" in out
    assert json.loads((tmp_path / "found.json").read_text())["missing_units"] == [1, 3, 4]


def test_a_marker_of_another_run_does_not_count(store):
    marker = store / "run" / "units" / "00000002.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "identity_sha256": "of somebody else"}))
    found = inspect_store.inspect(str(store), verify=False)
    assert not found["complete"] and found["missing_units"] == [2] and found["damage"] is None


SHARDS = [
    "X/indices/c/3",
    "X/data/c/3",
    "X/indptr/c/3",
    "obs/n_tokens/c/3",
    "obs/norm/c/3",
    "obs/dead_letter/c/3",
    "obs/duplicate_id/c/3",
    "obs/doc_id/c/3",
    "tokens/text/c/3",
    "obsm/embeddings/c/3/0",
    "run/moments/embedder/scatter/c/3/0",
    "run/moments/count/c/3",
    "moments/embedder/covariance/c/0/0",
    "var/token/c/0",
]


@pytest.mark.parametrize("shard", SHARDS)
@pytest.mark.parametrize("harm", ["one bit", "cut", "missing"])
def test_damage_of_every_array_is_found_and_placed(store, shard, harm):
    path = store / shard
    data = bytearray(path.read_bytes())
    if harm == "one bit":
        data[len(data) // 2] ^= 16
        path.write_bytes(data)
    elif harm == "cut":
        path.write_bytes(data[:-3])
    else:
        path.unlink()
    found = inspect_store.inspect(str(store), verify=True)
    assert len(found["damage"]) >= 1, "damage was not found"
    array = shard.split("/c/")[0]
    assert all(array in line for line in found["damage"]), found["damage"]
    assert any("rows 48 to 63" in line or "unit 3" in line or "moments/embedder" in line or "var/" in line
               for line in found["damage"]), found["damage"]  # fmt: skip
    assert inspect_store.render(found).count("damage: ") == 1


def test_every_flipped_bit_of_a_shard_of_postings_is_found(store):
    path = store / "X" / "data" / "c" / "1"
    data = path.read_bytes()
    for at in range(0, len(data), len(data) // 16):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert inspect_store.inspect(str(store), verify=True)["damage"], f"bit flip at byte {at} was not found"


def test_an_array_that_is_gone_or_of_another_shape_is_named(store):
    (store / "obs" / "norm" / "zarr.json").unlink()
    metadata = json.loads((store / "X" / "indptr" / "zarr.json").read_text())
    (store / "X" / "indptr" / "zarr.json").write_text(json.dumps({**metadata, "shape": [50]}))
    damage = inspect_store.inspect(str(store), verify=True)["damage"]
    assert any(line.startswith("obs/norm: cannot be opened") for line in damage)
    assert any("X/indptr: int64 (50,), where int64 (91,) is due" in line for line in damage)


def test_no_store_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match=r"holds no store\. Run align_corpus with --output="):
        inspect_store.inspect(str(tmp_path / "nothing.zarr"), verify=False)
