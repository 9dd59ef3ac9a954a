"""inspect_store: what is there, what is missing, and every kind of damage found where it is."""

import gzip
import json
import pathlib
from collections.abc import Callable

import pytest
from absl.testing import flagsaver

from keytokens.pipelines import align_run, inspect_store, unit_work
from keytokens.pipelines.store import damage
from tests import small_index, small_run


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
    assert found["cure"] == {} and "to mend it" not in text


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
    change(store / "X" / "indptr" / "zarr.json", shape=[50])
    damage = inspect_store.inspect(str(store), verify=True)["damage"]
    assert any(line.startswith("obs/norm: cannot be opened") for line in damage)
    assert any("X/indptr: cannot be opened" in line and '"shape" of [91] but received: [50]' in line for line in damage)


def change(path: pathlib.Path, **entries) -> None:
    """Gives a JSON file other entries."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


GRID = {"name": "regular", "configuration": {"chunk_shape": [15]}}
HARMS: dict[str, Callable[[pathlib.Path], None]] = {
    "missing": pathlib.Path.unlink,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "of somebody else": lambda path: path.write_text("[]"),
    "group for array": lambda path: change(path, node_type="banana"),
    "shape": lambda path: change(path, shape=[39]),
    "grid": lambda path: change(path, chunk_grid=GRID),
    "encoding": lambda path: change(path, attributes={}),
}


@pytest.mark.parametrize("harm", HARMS)
def test_damage_of_all_metadata_is_found_and_named(store, whole, harm):
    """Each file by itself; the arrays' data all stay."""
    keys = [key for key in whole if key.endswith("/zarr.json")]
    assert len(keys) > 25 and {"obs/doc_id/zarr.json", "tokens/zarr.json", "moments/zarr.json"} < set(keys)
    for key in keys:
        metadata = json.loads(whole[key])
        array = metadata["node_type"] == "array"
        if (harm in ("shape", "grid") and not array) or (harm == "encoding" and not metadata["attributes"]):
            continue
        HARMS[harm](store / key)
        found = inspect_store.inspect(str(store), verify=True)["damage"]
        path = key.removesuffix("/zarr.json")
        assert found and all(line.startswith(f"{path}:") for line in found), (key, found)
        (store / key).write_bytes(whole[key])


def test_a_group_that_has_lost_the_special_tokens_is_found(store):
    attributes = json.loads((store / "tokens" / "zarr.json").read_text())["attributes"]
    del attributes["special"]
    change(store / "tokens" / "zarr.json", attributes=attributes)
    (line,) = inspect_store.inspect(str(store), verify=True)["damage"]
    assert line.startswith("tokens: ") and "does not name the special tokens (KeyError('special'))" in line


@pytest.mark.parametrize("entries", [{"node_type": "array"}, {"zarr_format": 2}])
def test_a_root_that_is_no_group_is_found(store, entries):
    change(store / "zarr.json", **entries)
    (line,) = inspect_store.inspect(str(store), verify=True)["damage"]
    assert line.startswith(f"/: zarr.json: {next(iter(entries))} is")


@pytest.mark.parametrize("path", ["obs/doc_id", "tokens/text", "var/token"])
@pytest.mark.parametrize("values", [0, 7])
def test_a_chunk_of_too_few_strings_is_found(store, path, values):
    (store / path / "c" / "0").write_bytes(gzip.compress(values.to_bytes(4, "little") + b"\0\0\0\0" * values))
    (line,) = inspect_store.inspect(str(store), verify=True)["damage"]
    assert line.startswith(path) and f"{values} " in line


def duplicates(store: pathlib.Path) -> pathlib.Path:
    return store / "run" / "dead_letters" / "duplicate_ids.jsonl"


def test_repeated_ids_are_checked_against_their_lines(store):
    text = duplicates(store).read_text()
    assert text.count("\n") == 3
    for harm in ("", text + text, text.replace("{", "", 1)):
        duplicates(store).write_text(harm)
        (line,) = inspect_store.inspect(str(store), verify=True)["damage"]
        assert "run/dead_letters/duplicate_ids.jsonl" in line
    duplicates(store).unlink()
    (line,) = inspect_store.inspect(str(store), verify=True)["damage"]
    assert line.endswith("0 lines, rows that obs/duplicate_id flags: 3")


def test_dead_letters_that_cannot_be_read_are_damage_or_an_error(store):
    (path,) = (store / "run" / "dead_letters").glob("*1.jsonl")
    path.write_text(path.read_text().replace("{", "", 1))
    with pytest.raises(ValueError, match=rf"line 1 of run/dead_letters/{path.name} is no dead letter"):
        inspect_store.inspect(str(store), verify=False)
    found = inspect_store.inspect(str(store), verify=True)
    (line,) = found["damage"]
    assert line.startswith("run/dead_letters, unit 1, line 1: no dead letter")
    assert found["cure"] == {"align_corpus": ["run/units/00000001.json"]}
    assert sum(found["dead_letters"].values()) - found["dead_letters"]["duplicate_id"] == 4


def test_a_marker_of_other_rows_is_damage(store):
    change(store / "run" / "units" / "00000002.json", rows=15)
    found = inspect_store.inspect(str(store), verify=True)
    assert any(line.startswith("run/units/00000002.json: 15 rows, where") for line in found["damage"])
    assert found["cure"] == {"align_corpus": ["run/units/00000002.json"]}


def test_stray_files_and_damaged_markers_do_not_stop_the_inspection(store):
    for folder in ("units", "dead_letters"):
        (store / "run" / folder / ".DS_Store").write_bytes(b"\0\xff")
    assert inspect_store.inspect(str(store), verify=True)["damage"] == []
    (store / "run" / "units" / "00000001.json").write_text("\n")
    found = inspect_store.inspect(str(store), verify=True)
    assert found["missing_units"] == [1] and not found["complete"] and found["damage"] == []


# What is done to a store -> the keys that the cure deletes.
CURES = {
    "shards and dead letters": (
        {
            "missing": ["obs/norm/c/1", "run/moments/embedder/scatter/c/3/0", "X/indptr/c/5"],
            "cut": ["obs/doc_id/c/2", "X/data/c/1", "tokens/text/c/4", "obs/dead_letter/c/0"],
        },
        [f"run/units/0000000{unit}.json" for unit in range(6)],
    ),
    "metadata that is missing": ({"missing": ["every zarr.json"]}, []),
    "metadata that is damaged": ({"cut": ["every zarr.json"]}, ["every array's zarr.json"]),
    "metadata of another layout": ({"encoding": ["every zarr.json"]}, ["every array's zarr.json"]),
    "what the last step writes": (
        {
            "missing": ["run/dead_letters/duplicate_ids.jsonl", "moments/embedder/sum/c/0", "var/token/c/0"],
            "cut": ["obs/duplicate_id/c/1", "moments/embedder/covariance/c/0/0"],
        },
        [],
    ),
}


@pytest.mark.parametrize("case", CURES)
def test_the_cure_that_is_named_mends_the_store_to_the_byte(store, whole, case):
    harms, expected = CURES[case]
    every = [key for key in whole if key.endswith("/zarr.json")]
    strings = ("obs/doc_id/zarr.json", "tokens/text/zarr.json", "var/token/zarr.json")  # every launch writes these
    arrays = [key for key in every if json.loads(whole[key])["node_type"] == "array" and key not in strings]
    for harm, keys in harms.items():
        for key in every if keys == ["every zarr.json"] else keys:
            HARMS[harm](store / key)
    found = inspect_store.inspect(str(store), verify=True)
    assert found["complete"]
    assert found["cure"] == {"align_corpus": sorted(arrays if expected == ["every array's zarr.json"] else expected)}
    text = inspect_store.render(found)
    assert all(f"\n  {key}\n" in text for key in found["cure"]["align_corpus"])
    assert ("takes their units for done" in text) == (case == "shards and dead letters")
    assert "then verify again" in text
    assert ("nothing need be deleted" in text) == (not found["cure"]["align_corpus"])
    for key in found["cure"]["align_corpus"]:
        (store / key).unlink(missing_ok=True)
    small_run.launch(small_run.options(store.parent, save_embeddings=True))
    assert inspect_store.inspect(str(store), verify=True)["damage"] == []
    small_run.assert_same_store(str(store), whole)


def test_a_launch_without_the_cure_leaves_the_damage(store):
    """The reason why the cure is printed."""
    (store / "obs" / "norm" / "c" / "1").unlink()
    small_run.launch(small_run.options(store.parent, save_embeddings=True))
    assert inspect_store.inspect(str(store), verify=True)["damage"] == [
        "obs/norm, rows 16 to 31: the file obs/norm/c/1 is missing"
    ]


def test_a_damaged_marker_is_worked_through_again(store, whole):
    (store / "run" / "units" / "00000001.json").write_text("\n")
    (store / "obs" / "norm" / "c" / "1").unlink()  # which only that unit's work brings back
    (store / "run" / "units" / ".DS_Store").write_bytes(b"\0")
    small_run.launch(small_run.options(store.parent, save_embeddings=True))
    (store / "run" / "units" / ".DS_Store").unlink()
    small_run.assert_same_store(str(store), whole)


def test_a_damaged_manifest_is_mended_by_the_copy_that_its_error_names(store, whole, tmp_path):
    (store / "zarr.json").write_text("\n")
    asked = small_run.options(tmp_path, save_embeddings=True)
    for look in (lambda: inspect_store.inspect(str(store), verify=True), lambda: align_run.prepare(asked)):
        with pytest.raises(
            ValueError, match=r"out\.zarr: the manifest, zarr\.json, is damaged.*Put a copy of that file"
        ):
            look()
    (tmp_path / "other").mkdir()
    align_run.prepare(small_run.options(tmp_path / "other", save_embeddings=True))  # and no further
    (store / "zarr.json").write_bytes((tmp_path / "other" / "out.zarr" / "zarr.json").read_bytes())
    small_run.launch(asked)
    small_run.assert_same_store(str(store), whole)


@pytest.mark.parametrize("harm", ["missing", "cut", "of somebody else", "encoding"])
def test_the_cure_of_an_index_builds_it_again(tmp_path, harm):
    url = small_index.copy(tmp_path, indexed=True)
    before = small_run.contents(url)
    for key in ["X_T/data/c/1"] if harm == "missing" else ["X_T/zarr.json"]:
        HARMS[harm](tmp_path / "out.zarr" / key)
    found = inspect_store.inspect(url, verify=True)
    assert found["damage"] and all(line.startswith("X_T") for line in found["damage"])
    assert found["cure"] == {"build_index": ["X_T/zarr.json"]}
    assert "then launch build_index again with the same flags:\n  X_T/zarr.json\n" in inspect_store.render(found)
    if harm != "missing":  # the others harm nothing but the file that goes
        return
    (tmp_path / "out.zarr" / "X_T" / "zarr.json").unlink()
    small_index.build_index(url, with_query_table=True)
    small_run.assert_same_store(url, before)


def test_the_cure_names_the_program_that_wrote_the_store():
    found = [damage.Damage("a", ("X_T/zarr.json",), by_index=True), damage.Damage("b", ("y", "x")), damage.Damage("c")]
    adjusted = {"identity": {"adjustment": {"leading": 1}}}
    assert list(damage.cure(found, adjusted).items()) == [
        ("adjust_component", ["x", "y"]),
        ("build_index", ["X_T/zarr.json"]),
    ]


def test_an_output_that_cannot_be_written_is_refused_before_the_work(store, tmp_path, monkeypatch):
    monkeypatch.setattr(inspect_store, "inspect", lambda *_, **__: pytest.fail("the work began"))
    with (
        flagsaver.flagsaver(store=str(store), output=str(tmp_path / "none" / "x.json")),
        pytest.raises(ValueError, match=r"--output=/.*: there is no directory .*Make it first, or name another"),
    ):
        inspect_store.main([])


def test_no_store_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match=r"holds no store\. Run align_corpus with --output="):
        inspect_store.inspect(str(tmp_path / "nothing.zarr"), verify=False)
