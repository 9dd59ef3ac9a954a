"""The store's format, read back with libraries that are not ours."""

import dataclasses
import gzip
import json
import tracemalloc
import warnings

import anndata
import numpy as np
import pytest
import scipy.sparse
import tensorstore as ts
import zarr

from keytokens.pipelines import corpus, store
from keytokens.pipelines.analysis import moments
from keytokens.pipelines.store import arrays, identity, reader, run_state, schema, strings, token_column, writer
from keytokens.pipelines.store import files as store_files

TOKENS = [f"tok{i}" for i in range(37)]
DIMS = schema.Dimensions(
    num_rows=10,
    vocab_size=37,
    k=3,
    hidden_size=4,
    unit_rows=4,
    shard_rows=4,
    save_embeddings=True,
    has_backbone=True,
)


def random_rows(rng, row0: int, n: int) -> writer.ShardRows:
    indices = np.sort(np.stack([rng.choice(37, 3, replace=False) for _ in range(n)]), axis=1).astype(np.int32)
    obs = {
        name: rng.integers(0, 2, n).astype(dtype)
        for name, dtype in schema.OBS_COLUMNS.items()
        if name != "duplicate_id"
    }
    return writer.ShardRows(
        row0=row0,
        doc_ids=[f"dök {row}" if row % 3 else "" for row in range(row0, row0 + n)],
        indices=indices,
        values=rng.normal(size=(n, 3)).astype(np.float32),
        obs=obs,
        embeddings=rng.normal(size=(n, 4)).astype(np.float32),
    )


@pytest.fixture
def written(tmp_path):
    """A store of three units, written out of order, and what was written."""
    rng = np.random.default_rng(0)
    files = store_files.StoreFiles(str(tmp_path / "out.zarr"))
    arrays.write_group(files, "", {})
    writer.create_skeleton(files, DIMS, TOKENS)
    out = writer.StoreWriter(files, DIMS)
    shards = [random_rows(rng, row0, n) for row0, n in ((0, 4), (4, 4), (8, 2))]
    for shard in (shards[2], shards[0], shards[1]):
        out.write_shard(shard)
    return files, shards


def test_postings_open_as_the_same_scipy_matrix_in_anndata_and_in_tensorstore(written):
    files, shards = written
    expected = scipy.sparse.csr_matrix(
        (
            np.concatenate([s.values.reshape(-1) for s in shards]),
            np.concatenate([s.indices.reshape(-1) for s in shards]),
            np.arange(11) * 3,
        ),
        shape=(10, 37),
    )
    group = zarr.open_group(files.url, mode="r")
    read = anndata.io.read_elem(group["X"])
    assert (read != expected).nnz == 0 and read.has_canonical_format
    assert read.shape == (10, 37)
    for name in ("data", "indices", "indptr"):
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{files.url}/X/{name}/"}}
        np.testing.assert_array_equal(ts.open(spec).result().read().result(), getattr(expected, name))


def test_columns_and_vocabulary_open_as_data_frames_and_embeddings_as_an_array(written):
    files, shards = written
    group = zarr.open_group(files.url, mode="r")
    obs = anndata.io.read_elem(group["obs"])
    assert list(obs.index) == [doc_id for s in shards for doc_id in s.doc_ids]
    assert list(obs.columns) == list(schema.OBS_COLUMNS)
    for name in ("n_tokens", "truncated", "norm"):
        np.testing.assert_array_equal(obs[name], np.concatenate([s.obs[name] for s in shards]))
    assert list(anndata.io.read_elem(group["var"]).index) == TOKENS
    np.testing.assert_array_equal(
        anndata.io.read_elem(group["obsm"])["embeddings"], np.concatenate([s.embeddings for s in shards])
    )


def test_listing_the_store_with_zarr_warns_of_nothing_foreign(written):
    files, _ = written
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        members = dict(zarr.open_group(files.url, mode="r").members())
    assert set(members) == {"X", "obs", "obsm", "var", "moments", "run"}


def test_writing_twice_leaves_the_same_bytes(written, tmp_path):
    files, shards = written
    before = {key: files.read(key) for key in files.keys("")}
    writer.create_skeleton(files, DIMS, TOKENS)
    for shard in shards:
        writer.StoreWriter(files, DIMS).write_shard(shard)
    assert {key: files.read(key) for key in files.keys("")} == before


def test_a_shard_that_does_not_end_at_a_boundary_is_our_own_mistake(written):
    files, _ = written
    with pytest.raises(AssertionError):
        writer.StoreWriter(files, DIMS).write_shard(random_rows(np.random.default_rng(1), 0, 3))


def test_moments_come_back_exactly_and_merge_in_unit_order(written):
    files, _ = written
    rng = np.random.default_rng(2)
    parts = [moments.PairMoments.of(rng.normal(size=(n, 4)), rng.normal(size=(n, 4))) for n in (4, 3, 0)]
    out = writer.StoreWriter(files, DIMS)
    for unit in (2, 0, 1):
        out.write_moments(unit, parts[unit])
    arrays.write_group(files, "", manifest_attributes())
    store = reader.StoreReader(files.url, complete=False)
    for read, part in zip(store.partial_moments(), parts, strict=True):
        assert read.f.count == part.f.count
        for model in ("f", "g"):
            for field in ("mean", "scatter", "unit_sum"):
                value = getattr(getattr(part, model), field)
                # Packing keeps the upper triangle; the lower one of A^T A may differ in its last bit.
                np.testing.assert_allclose(getattr(getattr(read, model), field), value, rtol=1e-14, atol=1e-14)
        np.testing.assert_array_equal(read.cross_scatter, part.cross_scatter)
    merged = moments.merge_all(parts)
    out.write_final_moments(merged)
    again = store.merged_moments()
    np.testing.assert_allclose(again.g.second_moment, merged.g.second_moment, rtol=1e-13)
    np.testing.assert_allclose(again.cross_covariance, merged.cross_covariance, rtol=1e-13)


def manifest_attributes(dims: schema.Dimensions = DIMS) -> dict:
    return {
        identity.MANIFEST_KEY: {
            "schema_version": 1,
            "program_version": "0",
            "identity": {},
            "dimensions": dataclasses.asdict(dims),
        }
    }


def test_a_flipped_bit_is_an_error_not_a_number(written):
    files, _ = written
    key = "obsm/embeddings/c/0/0"
    damaged = bytearray(files.read(key))
    damaged[5] ^= 1
    files.write(key, bytes(damaged))
    with pytest.raises(ValueError, match="Digest mismatch"):
        arrays.read(files, "obsm/embeddings")


@pytest.mark.parametrize("values", [[], ["a"], ["", "ü", "日本語", "x" * 70_000, "\x00"]])
def test_a_string_column_reads_back_here_and_in_zarr(tmp_path, values):
    files = store_files.StoreFiles(str(tmp_path))
    strings.write_column(files, "column", values)
    assert list(strings.read_column(files, "column")) == values
    assert zarr.open_array(str(tmp_path / "column"), mode="r")[:].tolist() == values


def test_a_missing_chunk_of_a_string_column_is_an_error(tmp_path):
    files = store_files.StoreFiles(str(tmp_path))
    strings.create_column(files, "column", num_rows=5, chunk_rows=2)
    with pytest.raises(ValueError, match=r"chunk 0 of column is missing; .* did not finish"):
        list(strings.read_column(files, "column"))
    with pytest.raises(ValueError, match="no column other"):
        list(strings.read_column(files, "other"))


def test_a_store_that_another_run_begins_meanwhile_is_read(tmp_path, monkeypatch):
    files = store_files.StoreFiles(str(tmp_path / "out.zarr"))
    arrays.write_group(files, "", manifest_attributes())
    read = store_files.StoreFiles.read_json
    calls = []

    def absent_at_first(self, name):
        calls.append(name)
        return read(self, name) if len(calls) > 1 else None

    monkeypatch.setattr(store_files.StoreFiles, "read_json", absent_at_first)
    assert identity.read_manifest(files)["schema_version"] == store.SCHEMA_VERSION and calls == [
        "zarr.json",
        "zarr.json",
    ]


def test_a_foreign_or_unfinished_output_is_refused(tmp_path):
    files = store_files.StoreFiles(str(tmp_path / "out"))
    assert identity.read_manifest(files) is None
    files.write("thesis.tex", b"")
    with pytest.raises(identity.ForeignStoreError, match=r"not empty .*thesis\.tex.*Name another output"):
        identity.read_manifest(files)
    arrays.write_group(files, "", {"somebody": "else"})
    with pytest.raises(identity.ForeignStoreError, match="did not write"):
        identity.read_manifest(files)
    attributes = manifest_attributes()
    attributes[identity.MANIFEST_KEY]["schema_version"] = 99
    arrays.write_group(files, "", attributes)
    with pytest.raises(identity.ForeignStoreError, match="schema version 99"):
        identity.read_manifest(files)
    arrays.write_group(files, "", manifest_attributes())
    with pytest.raises(ValueError, match=r"not complete: 0 of 3 units are done.*it resumes"):
        reader.StoreReader(files.url)
    files.write(run_state.COMPLETED, b"")
    assert reader.StoreReader(files.url).dims == DIMS


MANIFEST = json.dumps({"attributes": manifest_attributes()})


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", r"Expecting value"),
        ("[]", r"\[\] is no zarr group"),
        ("7", r"7 is no zarr group"),
        ('{"attributes": []}', r"is no zarr group"),
        ('{"attributes": {"keytokens": 1}}', r"no schema_version"),
        (MANIFEST.replace('"identity"', '"idantity"'), r"it has no identity"),
        (MANIFEST.replace('"dimensions"', '"dimansions"'), r"it has no dimensions"),
        (MANIFEST.replace('"num_rows"', '"nam_rows"'), r"nam_rows"),
    ],
)
def test_a_damaged_manifest_is_named_with_its_cure(tmp_path, content, what):
    files = store_files.StoreFiles(str(tmp_path / "out.zarr"))
    files.write("zarr.json", content.encode())
    files.write(run_state.COMPLETED, b"")
    message = r"out\.zarr: the manifest, zarr\.json, is damaged \(.*{}.*Put a copy of that file back"
    with pytest.raises(identity.ForeignStoreError, match=message.format(what)) as error:
        reader.StoreReader(files.url)
    assert "--output=/" not in str(error.value), "a reader has no --output"
    if "nam_rows" not in what:  # which a run refuses as another's: its dimensions differ
        with pytest.raises(identity.ForeignStoreError, match=f"--output=.*{message.format(what)}"):
            identity.read_manifest(files)


def test_a_reader_is_not_told_of_an_output(written):
    """What lies inside a store is a group or an array of zarr, but no store."""
    files, _ = written
    for inside, called in (("X", "group"), ("obs/norm", "array")):
        with pytest.raises(
            identity.ForeignStoreError, match=f"is a zarr {called} that Keytokens did not write"
        ) as error:
            reader.StoreReader(f"{files.url}/{inside}")
        assert str(error.value).startswith(f"{files.url}/{inside} is")
        assert "Name the directory that was the --output of align_corpus, itself" in str(error.value)
    with pytest.raises(identity.ForeignStoreError, match=r"^/.*is not empty.*no store to read"):
        reader.StoreReader(f"{files.url}/X/indices/c")


MARKER = run_state.UnitMarker(3, "digest", rows=4, dead_letters=1, truncated=0, tokens=9, batch_tokens=9, real_tokens=9)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        "\xff",
        "null",
        "[]",
        "{}",
        json.dumps({**dataclasses.asdict(MARKER), "rows": "4"}),
        json.dumps({**dataclasses.asdict(MARKER), "unit": 4}),
        json.dumps({name: value for name, value in dataclasses.asdict(MARKER).items() if name != "tokens"}),
    ],
)
def test_a_marker_that_cannot_be_read_counts_as_none(tmp_path, content):
    files = store_files.StoreFiles(str(tmp_path))
    run_state.write_marker(files, MARKER)
    assert run_state.read_marker(files, 3, "digest") == MARKER
    files.write(run_state.marker_key(3), content.encode("latin-1"))
    assert run_state.read_marker(files, 3, "digest") is None


def test_stray_files_are_no_markers_and_no_dead_letters(tmp_path):
    files = store_files.StoreFiles(str(tmp_path))
    run_state.write_marker(files, MARKER)
    letter = {"row": 5, "file": "a", "line": 6, "kind": "empty", "reason": "it is"}
    run_state.write_dead_letters(files, run_state.unit_name(3), [json.dumps(letter)])
    strays = [".DS_Store", "00000003.json.swp", "x/00000001.json", "١٢٣٤٥٦٧٨.json", "000000003.json", "7.json"]
    for name in [*strays, ".DS_Store.jsonl", "x/00000001.jsonl"]:
        files.write(f"run/units/{name}", b"\xff")
        files.write(f"run/dead_letters/{name}", b"\xff")
    assert run_state.finished_units(files) == [3]
    assert run_state.read_dead_letters(files) == [letter]


def test_dead_letters_are_counted_without_being_kept(tmp_path):
    """In the order of the units, duplicates last, whatever separators a snippet holds; memory is that of a file."""
    files = store_files.StoreFiles(str(tmp_path))
    lines = []
    for unit in range(4):
        kinds = ("empty", "missing_text") if unit % 2 else ("empty",)
        letters = [
            corpus.DeadLetter(row, f"d{row}", "a.jsonl", row, kinds[row % len(kinds)], "because", "x\x85y\u2028z\rw")
            for row in range(unit * 2000, (unit + 1) * 2000)
        ]
        lines += [letter.to_json() for letter in letters]
        run_state.write_dead_letters(files, run_state.unit_name(unit), [letter.to_json() for letter in letters])
    repeated = corpus.DeadLetter(7, "d7", "a.jsonl", 7, "duplicate_id", "repeated").to_json()
    run_state.write_dead_letters(files, run_state.DUPLICATES, [repeated])
    assert list(run_state.iterate_dead_letters(files)) == [json.loads(line) for line in [*lines, repeated]]
    tracemalloc.start()
    found = run_state.summarize_dead_letters(files, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.kinds == {"empty": 6_000, "missing_text": 2_000, "duplicate_id": 1}
    assert found.first == [json.loads(line) for line in lines[:3]]
    # One file's bytes of the four; all letters, parsed, would be about 8 MB.
    assert peak < 1.5 * len(files.read(run_state.dead_letters_key(run_state.unit_name(0))))
    assert run_state.summarize_dead_letters(files, 0).first == []


@pytest.mark.parametrize("line", [b"", b"\xff", b'{"row": 1', b"[]", b'{"row": 1, "kind": ["x"]}'])
def test_a_damaged_dead_letter_is_an_error_that_names_it(tmp_path, line):
    files = store_files.StoreFiles(str(tmp_path))
    good = corpus.DeadLetter(7, "d7", "a.jsonl", 7, "empty", "because").to_json().encode()
    files.write(run_state.dead_letters_key(run_state.unit_name(2)), good + b"\n" + line + b"\n" + good + b"\n")
    with pytest.raises(
        ValueError, match=r"line 2 of run/dead_letters/00000002\.jsonl is no dead letter.*--verify says"
    ):
        list(run_state.iterate_dead_letters(files))
    assert run_state.summarize_dead_letters(files, 0, skip_unreadable=True).kinds == {"empty": 2}


def test_a_file_that_is_no_json_is_named_with_its_cure(tmp_path):
    files = store_files.StoreFiles(str(tmp_path))
    files.write("run/examples.json", b"[1,")
    with pytest.raises(
        store_files.NotJsonError, match=rf"{tmp_path}: run/examples\.json is not JSON.*Delete that file"
    ):
        files.read_json("run/examples.json")


@pytest.mark.parametrize(
    "data", [b"", b"\x01", b"\1\0\0\0", b"\1\0\0\0\2\0\0\0x", b"\0\0\0\0x", b"\1\0\0\0\1\0\0\0\xff"]
)
def test_a_chunk_of_strings_that_are_not_what_its_lengths_say(tmp_path, data):
    """gzip's own checksum is right in all of them, and an empty file is an empty archive to it."""
    files = store_files.StoreFiles(str(tmp_path))
    strings.create_column(files, "column", num_rows=1, chunk_rows=1)
    files.write("column/c/0", gzip.compress(data) if data else b"")
    with pytest.raises(ValueError, match="chunk 0 of column is no list of strings"):
        list(strings.read_column(files, "column"))


@pytest.mark.parametrize("content", ["[]", "{}", '{"shape": [1, 2]}', '{"shape": [1], "chunk_grid": 5}'])
def test_metadata_that_describes_no_column(tmp_path, content):
    files = store_files.StoreFiles(str(tmp_path))
    files.write("column/zarr.json", content.encode())
    with pytest.raises(ValueError, match=r"column/zarr\.json describes no column"):
        list(strings.read_column(files, "column"))


@pytest.mark.parametrize("content", [None, "[]", '{"attributes": {"before": 1}}'])
def test_special_tokens_that_are_gone_are_an_error(tmp_path, content):
    files = store_files.StoreFiles(str(tmp_path))
    if content is not None:
        files.write("tokens/zarr.json", content.encode())
    with pytest.raises(ValueError, match=r"tokens/zarr\.json is missing or does not name the special tokens"):
        token_column.read_special(files)


def test_two_identities_are_compared_field_by_field():
    stored = {"model": {"prompt": "a", "k": 1}, "gone": 0}
    asked = {"model": {"prompt": "b", "k": 1}, "new": None}
    with pytest.raises(identity.ForeignStoreError) as error:
        identity.check_same_run("out.zarr", stored, asked)
    message = str(error.value)
    assert "model.prompt: stored 'a', asked for 'b'" in message and "gone: stored 0, asked for None" in message
    assert "model.k" not in message
    identity.check_same_run("out.zarr", stored, dict(stored))


@pytest.mark.parametrize("url", ["memory://store/", "file"])
def test_files_work_at_any_kvstore(tmp_path, url):
    files = store_files.StoreFiles(str(tmp_path / "x") if url == "file" else url)
    files.write("a/b", b"1")
    files.write("a/c", b"2")
    files.write("d", b"3")
    assert (files.read("a/b"), files.read("none")) == (b"1", None)
    assert files.keys("a/") == ["a/b", "a/c"]
    files.delete("a/b")
    files.delete("a/b")
    assert files.keys("") == ["a/c", "d"]
    files.delete_prefix("a/")
    files.delete("d")
    assert files.keys("") == []


def test_text_tokens_and_backbone_embeddings_come_back_and_open_elsewhere(tmp_path):
    """Rows without a token among them, a range that starts and ends within shards."""
    dims = dataclasses.replace(DIMS, save_backbone_embeddings=True, has_text_tokens=True)
    files = store_files.StoreFiles(str(tmp_path / "out.zarr"))
    arrays.write_group(files, "", manifest_attributes(dims))
    special = token_column.SpecialTokens(before=(1,), after=(2, 3), special=(0, 1, 2, 3))
    writer.create_skeleton(files, dims, TOKENS, special=special)
    rng = np.random.default_rng(3)
    out = writer.StoreWriter(files, dims)
    texts = [rng.integers(0, 37, row % 3).astype(np.int32) for row in range(10)]
    backbone = rng.normal(size=(10, 4)).astype(np.float32)
    for row0, n in ((0, 4), (4, 4), (8, 2)):
        rows = slice(row0, row0 + n)
        out.write_shard(
            dataclasses.replace(random_rows(rng, row0, n), text_tokens=texts[rows], backbone_embeddings=backbone[rows])
        )
    store = reader.StoreReader(files.url, complete=False)
    assert store.special_tokens() == special
    for row0, row1 in ((0, 10), (3, 9), (5, 6)):
        read = store.text_tokens(row0, row1)
        assert [one.tolist() for one in map(read.__getitem__, range(len(read)))] == [
            one.tolist() for one in texts[row0:row1]
        ]
        np.testing.assert_array_equal(store.embeddings(row0, row1, backbone=True), backbone[row0:row1])
    assert list(store.shards()) == [(0, 4), (4, 8), (8, 10)]
    group = zarr.open_group(files.url, mode="r")
    column = anndata.io.read_elem(group["tokens"])["text"]
    assert [[int(token) for token in str(text).split()] for text in column] == [one.tolist() for one in texts]
    np.testing.assert_array_equal(anndata.io.read_elem(group["obsm"])["backbone_embeddings"], backbone)


def test_a_store_without_text_tokens_or_backbone_embeddings_says_so(written):
    files, _ = written
    arrays.write_group(files, "", manifest_attributes())
    store = reader.StoreReader(files.url, complete=False)
    with pytest.raises(ValueError, match=r"does not hold the texts' own tokens.*run align_corpus again"):
        store.text_tokens(0, 1)
    with pytest.raises(ValueError, match=r"no embeddings of the backbone.*--backbone=NAME --save_embeddings"):
        store.embeddings(0, 1, backbone=True)
