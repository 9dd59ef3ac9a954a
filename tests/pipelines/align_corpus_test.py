"""The main job end to end: what the pipeline stores is what one in-memory pass over the corpus computes."""

import dataclasses
import gzip
import io
import json
import pathlib

import anndata
import apache_beam as beam
import numpy as np
import pytest
import zarr
from apache_beam.options.pipeline_options import PipelineOptions

from keytokens import kernels, models
from keytokens.pipelines import align_run, encoder, finalize, progress, transforms, unit_work
from keytokens.pipelines.analysis import moments
from keytokens.pipelines.store import files as store_files
from keytokens.pipelines.store import identity, reader
from tests import tiny_checkpoint
from tests.cpu_library import needs_cpu_library

K = 12
RUNNER = ["--runner=FnApiRunner"]


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """Documents of all lengths and every kind of bad row."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(90):
        text = " ".join(rng.choice(tiny_checkpoint.WORDS, rng.integers(1, 80)))
        found.append(json.dumps({"_id": f"d{i}", "title": f"wing {i}", "text": text}).encode())
    found[5] = b"not json"
    found[17] = b""
    found[18] = json.dumps({"_id": "d18", "text": ""}).encode()
    found[40] = b'{"_id": "d40", "text": "\xff"}'
    found[60] = json.dumps({"_id": "d3", "text": "the wing again"}).encode()
    found[89] = json.dumps({"_id": "d89"}).encode()
    return found


BAD_ROWS = [5, 17, 18, 40, 89]


@pytest.fixture(scope="module")
def corpus_dir(tmp_path_factory, lines) -> pathlib.Path:
    """Three files, one of them gzipped, that no unit boundary respects."""
    directory = tmp_path_factory.mktemp("corpus")
    (directory / "a.jsonl").write_bytes(b"\n".join(lines[:33]) + b"\n")
    (directory / "b.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines[33:70]), mtime=0))
    (directory / "c.jsonl").write_bytes(b"\n".join(lines[70:]))
    return directory


@pytest.fixture
def options(checkpoint, backbone, corpus_dir, tmp_path) -> align_run.AlignOptions:
    model = models.read_embedder(checkpoint)
    return align_run.AlignOptions(
        model=model,
        backbone=models.read_embedder(backbone, recipe=model.recipe),
        corpus=(str(corpus_dir / "*"),),
        output=str(tmp_path / "out.zarr"),
        k=K,
        save_embeddings=True,
        unit_rows=16,
    )


def launch(options: align_run.AlignOptions) -> reader.StoreReader:
    run, planned = align_run.prepare(options)
    with beam.Pipeline(options=PipelineOptions(RUNNER)) as pipeline:
        transforms.define_pipeline(pipeline, run, planned.units)
    return reader.StoreReader(options.output)


def contents(url: str) -> dict[str, bytes]:
    files = store_files.StoreFiles(url)
    return {key: files.read(key) for key in files.keys("")}


def test_the_store_equals_one_in_memory_pass_with_the_reference_kernel(options, lines):
    store = launch(options)
    assert store.dims.num_units == 6, "there must be several units"
    good = [row for row in range(90) if row not in BAD_ROWS]
    records = [json.loads(lines[row]) for row in good]
    texts = [f"{record['title']} {record['text']}" if "title" in record else record["text"] for record in records]

    embedder = encoder.Encoder(options.model)
    hidden = embedder.embed(texts).hidden
    top = kernels.aligned_topk(
        hidden, embedder.embedder.head.weight, K, implementation="reference", with_logsumexp=True
    )
    order = np.argsort(top.indices, axis=1)
    expected_ids = np.take_along_axis(np.asarray(top.indices), order, 1)
    expected_values = np.take_along_axis(np.asarray(top.values), order, 1)

    indices, values = store.postings(0, 90)
    np.testing.assert_array_equal(indices[good], expected_ids)
    # The reference multiplies all rows at once, the store's kernel in blocks: float32 sums differ in their last bits.
    np.testing.assert_allclose(values[good], expected_values, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(store.column("logsumexp")[good], top.logsumexp, rtol=1e-5)
    np.testing.assert_allclose(store.column("norm")[good], np.linalg.norm(hidden, axis=1), rtol=1e-6)

    group = zarr.open_group(store.files.url, mode="r")
    matrix = anndata.io.read_elem(group["X"])
    assert matrix.has_canonical_format and matrix.shape == (90, len(tiny_checkpoint.VOCABULARY))
    np.testing.assert_array_equal(matrix[good].toarray(), dense(expected_ids, values[good], matrix.shape[1]))
    embeddings = anndata.io.read_elem(group["obsm"])["embeddings"]
    # Here all texts are packed together, in the store those of a shard: the same sums in another order.
    np.testing.assert_allclose(embeddings[good], hidden, rtol=1e-5, atol=1e-5)
    frame = anndata.io.read_elem(group["obs"])
    assert list(frame.index[:5]) == ["d0", "d1", "d2", "d3", "d4"]
    assert list(np.flatnonzero(frame["dead_letter"])) == BAD_ROWS
    assert not matrix[BAD_ROWS].count_nonzero() and not embeddings[BAD_ROWS].any()


def dense(indices: np.ndarray, values: np.ndarray, vocab_size: int) -> np.ndarray:
    result = np.zeros((len(indices), vocab_size), np.float32)
    np.put_along_axis(result, indices, values, 1)
    return result


def test_token_counts_truncation_and_hits_are_those_of_the_tokenizer(options, lines):
    store = launch(options)
    tokenizer = tiny_checkpoint._tokenizer()
    best, _ = store.ranked_postings(0, 90)
    for row in (0, 1, 44, 88):
        record = json.loads(lines[row])
        ids = tokenizer(f"{record['title']} {record['text']}", add_special_tokens=False)["input_ids"]
        limit = options.model.recipe.max_length - 2
        assert store.column("n_tokens")[row] == min(len(ids), limit)
        assert store.column("truncated")[row] == (len(ids) > limit)
        assert store.column("hits_at_10")[row] == len(set(best[row, :10].tolist()) & set(ids[:limit]))
    assert 0 < store.column("truncated").sum() < 90


def test_moments_of_both_models_equal_a_float64_reference(options, lines):
    store = launch(options)
    good = ~store.column("dead_letter")
    texts = [json.loads(line) for row, line in enumerate(lines) if good[row]]
    texts = [f"{record['title']} {record['text']}" if "title" in record else record["text"] for record in texts]
    f, g = (encoder.Encoder(config).embed(texts).hidden for config in (options.model, options.backbone))
    expected = moments.PairMoments.of(f, g)
    merged = store.merged_moments()
    assert merged.f.count == merged.g.count == len(texts) == 85
    for part, wanted in ((merged.f, expected.f), (merged.g, expected.g)):
        assert relative(part.second_moment, wanted.second_moment) < 1e-6
        assert relative(part.scatter, wanted.scatter) < 1e-6
        assert relative(part.unit_sum, wanted.unit_sum) < 1e-6
    assert relative(merged.cross_scatter, expected.cross_scatter) < 1e-6
    assert not np.allclose(merged.f.mean, merged.g.mean, atol=0.1), "the backbone must differ, or this tests nothing"


def relative(value: np.ndarray, wanted: np.ndarray) -> float:
    return np.linalg.norm(value - wanted) / np.linalg.norm(wanted)


def test_every_bad_row_is_a_dead_letter_with_its_place_and_reason(options):
    store = launch(options)
    letters = {letter["row"]: letter for letter in store.dead_letters()}
    assert sorted(letters) == [*BAD_ROWS[:4], 60, 89]
    found = {row: (letter["kind"], letter["file"], letter["line"]) for row, letter in letters.items()}
    assert found == {
        5: ("invalid_json", "a.jsonl", 6),
        17: ("empty", "a.jsonl", 18),
        18: ("empty", "a.jsonl", 19),
        40: ("invalid_utf8", "b.jsonl.gz", 8),
        60: ("duplicate_id", "b.jsonl.gz", 28),
        89: ("missing_text", "c.jsonl", 20),
    }
    assert "row 3" in letters[60]["reason"]
    assert list(np.flatnonzero(store.column("duplicate_id"))) == [60]
    counts = store.manifest["counts"]
    assert (counts["rows"], counts["embedded"], counts["dead_letters"], counts["duplicate_ids"]) == (90, 85, 5, 1)
    assert counts["truncated"] == store.column("truncated").sum()


def test_two_runs_write_the_same_bytes_and_a_third_start_changes_nothing(options, tmp_path):
    first = dataclasses.replace(options, output=str(tmp_path / "first.zarr"))
    launch(first)
    launch(options)
    assert contents(first.output) == contents(options.output)
    launch(options)
    assert contents(first.output) == contents(options.output)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("int16", marks=needs_cpu_library)])
def test_a_row_does_not_depend_on_its_neighbours(options, corpus_dir, lines, tmp_path, dtype):
    options = dataclasses.replace(options, model=dataclasses.replace(options.model, dtype=dtype))
    store = launch(options)
    (tmp_path / "one.jsonl").write_bytes(lines[44])
    alone = launch(
        dataclasses.replace(options, corpus=(str(tmp_path / "one.jsonl"),), output=str(tmp_path / "alone.zarr"))
    )
    (ids, values), (whole_ids, whole_values) = alone.postings(0, 1), store.postings(44, 45)
    np.testing.assert_array_equal(ids, whole_ids)
    # XLA sums in an order that depends on the shape of the batch. (Rounded to integers, a last bit may become a step.)
    np.testing.assert_allclose(values, whole_values, rtol=1e-4, atol=1e-4)


def test_a_run_that_died_resumes_and_skips_what_is_done(options, tmp_path, monkeypatch):
    whole = dataclasses.replace(options, output=str(tmp_path / "whole.zarr"))
    launch(whole)
    run, planned = align_run.prepare(options)
    for unit in planned.units[:4]:
        unit_work.process(run, unit)
    with pytest.raises(ValueError, match="not complete: 4 of 6 units"):
        reader.StoreReader(options.output)
    with pytest.raises(finalize.MissingUnitsError, match=r"2 of 6 units .* \(the first: 4\)"):
        finalize.finalize(run)
    worked = []
    process = unit_work.process
    monkeypatch.setattr(unit_work, "process", lambda run, unit: worked.append(unit.index) or process(run, unit))
    launch(options)
    assert worked == [4, 5]
    assert contents(options.output) == contents(whole.output)


def test_garbage_of_a_death_in_the_middle_of_a_unit_is_overwritten(options, tmp_path, monkeypatch):
    whole = dataclasses.replace(options, output=str(tmp_path / "whole.zarr"))
    launch(whole)
    run, planned = align_run.prepare(options)
    to_rows = unit_work._to_rows

    def garbage(*args):
        rows = to_rows(*args)
        return dataclasses.replace(rows, values=rows.values * np.float32(0) + np.float32(-1e9))

    monkeypatch.setattr(unit_work, "_to_rows", garbage)
    monkeypatch.setattr(unit_work.run_state, "write_marker", lambda *_: None)
    unit_work.process(run, planned.units[2])
    monkeypatch.undo()
    launch(options)
    assert contents(options.output) == contents(whole.output)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": K + 1}, r"dimensions\.k: stored 12, asked for 13"),
        ({"unit_rows": 32}, r"dimensions\.unit_rows: stored 16, asked for 32"),
        ({"save_embeddings": False}, r"dimensions\.save_embeddings"),
        ({"backbone": None}, r"dimensions\.has_backbone"),
        ({"corpus_format": "text"}, r"corpus_sha256"),
    ],
)
def test_a_store_of_another_run_is_refused_field_by_field_and_left_alone(options, change, words):
    align_run.prepare(options)
    before = contents(options.output)
    with pytest.raises(identity.ForeignStoreError, match=words):
        align_run.prepare(dataclasses.replace(options, **change))
    assert contents(options.output) == before


def test_what_other_arithmetic_began_is_not_ended_by_this_one(options, monkeypatch):
    align_run.prepare(options)
    monkeypatch.setattr(encoder, "ARITHMETIC", encoder.ARITHMETIC + 1)
    with pytest.raises(identity.ForeignStoreError, match=r"arithmetic: stored \d+, asked for \d+"):
        align_run.prepare(options)


def test_another_prompt_is_another_run(options, checkpoint):
    align_run.prepare(options)
    other = models.read_embedder(checkpoint, prompt="query: ")
    with pytest.raises(identity.ForeignStoreError, match=r"model.*prompt.*query"):
        align_run.prepare(dataclasses.replace(options, model=other))


def test_the_same_model_in_another_directory_is_the_same_run(options, tmp_path):
    launch(options)
    moved = models.read_embedder(str(tiny_checkpoint.write_tiny_bert(tmp_path / "moved")))
    run, _ = align_run.prepare(dataclasses.replace(options, model=moved))
    assert unit_work.finished(run, align_run.prepare(options)[1].units[0]) is not None


def test_overwrite_deletes_the_other_store_and_nothing_else(options, tmp_path):
    launch(options)
    again = launch(dataclasses.replace(options, k=5, overwrite=True))
    assert again.dims.k == 5
    assert not [
        key for key in contents(options.output) if key.startswith("X/data/c/") and not key.split("/")[-1].isdigit()
    ]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(identity.ForeignStoreError, match="no store of ours"):
        align_run.prepare(dataclasses.replace(options, output=str(tmp_path / "mine"), overwrite=True))
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": 0}, r"--k=0 must be between 1 and the \d+ entries"),
        ({"k": 10_000}, r"--k=10000 must be between 1 and the \d+ entries"),
        ({"corpus": ("/nowhere/*.jsonl",)}, r"no file matches '/nowhere/\*\.jsonl'"),
        ({"output": "/proc/no/out.zarr"}, r"--output=/proc/no/out\.zarr cannot be written"),
        ({"unit_rows": 5000}, r"--unit_rows=5000 is above 4096 and no multiple.*Use 4096"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(options, change, words):
    with pytest.raises(ValueError, match=words):
        align_run.prepare(dataclasses.replace(options, **change))
    assert not contents(options.output)


def test_a_backbone_of_another_width_is_refused(options):
    other = dataclasses.replace(options.backbone, hidden_size=99)
    with pytest.raises(ValueError, match=r"hidden size 99 and .* has 16: they are not embedder and backbone"):
        align_run.prepare(dataclasses.replace(options, backbone=other))


def test_an_embedding_that_is_not_finite_is_a_dead_letter(options, monkeypatch):
    embed = encoder.Encoder.embed

    def poisoned(self, texts):
        embedded = embed(self, texts)
        embedded.hidden[[i for i, text in enumerate(texts) if text.startswith("wing 7 ")]] = np.nan
        return embedded

    monkeypatch.setattr(encoder.Encoder, "embed", poisoned)
    store = launch(options)
    assert store.column("dead_letter")[7]
    (letter,) = [letter for letter in store.dead_letters() if letter["row"] == 7]
    assert (letter["kind"], letter["doc_id"], letter["line"]) == ("embedding_not_finite", "d7", 8)
    indices, values = store.postings(7, 8)
    assert indices.tolist() == [list(range(K))] and not values.any()
    assert store.merged_moments().f.count == 84 and np.isfinite(store.merged_moments().g.scatter).all()


@pytest.mark.parametrize("num_lines", [0, 1, 3])
def test_a_tiny_corpus_is_a_whole_store(options, lines, tmp_path, num_lines):
    (tmp_path / "few.jsonl").write_bytes(b"".join(line + b"\n" for line in lines[:num_lines]))
    store = launch(dataclasses.replace(options, corpus=(str(tmp_path / "few.jsonl"),)))
    assert store.manifest["counts"]["rows"] == num_lines
    matrix = anndata.io.read_elem(zarr.open_group(options.output, mode="r")["X"])
    assert matrix.shape == (num_lines, len(tiny_checkpoint.VOCABULARY)) and matrix.nnz == num_lines * K


def test_units_grow_until_partial_moments_are_a_small_share(options):
    small = dataclasses.replace(options, unit_rows=0, k=256, backbone=None)
    assert align_run.unit_and_shard_rows(small) == (4096, 4096)
    wide = dataclasses.replace(small, model=dataclasses.replace(options.model, hidden_size=4096))
    unit_rows, shard_rows = align_run.unit_and_shard_rows(wide)
    moment_bytes = 4096 * 4097 / 2 * 8
    assert shard_rows == 4096 and unit_rows % shard_rows == 0
    assert moment_bytes <= 0.26 * unit_rows * 256 * 8 and moment_bytes > 0.25 * unit_rows // 2 * 256 * 8


def test_units_of_several_shards_write_the_same_rows(options, monkeypatch, tmp_path):
    single = launch(options)
    monkeypatch.setattr(align_run, "SHARD_ROWS", 8)
    several = launch(dataclasses.replace(options, output=str(tmp_path / "several.zarr"), unit_rows=32))
    assert (several.dims.shard_rows, several.dims.num_units) == (8, 3)
    (ids, values), (other_ids, other_values) = single.postings(0, 90), several.postings(0, 90)
    np.testing.assert_array_equal(ids, other_ids)
    # Texts share rows with those of their shard, so sums run in another order.
    np.testing.assert_allclose(values, other_values, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        single.merged_moments().f.scatter, several.merged_moments().f.scatter, rtol=1e-5, atol=1e-5
    )


def test_progress_counts_finished_units_and_ends_with_all_of_them(options):
    run, planned = align_run.prepare(options)
    unit_work.process(run, planned.units[0])
    out = io.StringIO()
    with progress.Progress(run, stream=out, interval_sec=0.01):
        for unit in planned.units[1:]:
            unit_work.process(run, unit)
    text = out.getvalue()
    assert text.startswith("resuming: 1/6 units, 16/90 texts\n")
    assert "6/6 units, 90/90 texts" in text.splitlines()[-1] and "texts/s" in text
