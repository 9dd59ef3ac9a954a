"""build_index: the index equals its definition, whatever the blocks, engines and deaths."""

import dataclasses
import json
import pathlib

import anndata
import numpy as np
import pytest
import zarr
from absl.testing import flagsaver

from keytokens.pipelines import build_index, cli, encoder, inspect_store
from keytokens.pipelines.retrieval import blocks, build, index_run, merge
from keytokens.pipelines.retrieval.options import IndexOptions
from keytokens.pipelines.store import files as store_files
from keytokens.pipelines.store import reader
from tests import small_index, small_run


@pytest.fixture
def url(tmp_path) -> str:
    """A store without an index."""
    return small_index.copy(tmp_path)


@pytest.fixture
def built(tmp_path) -> str:
    """A store with the index of small_index.OPTIONS."""
    return small_index.copy(tmp_path, indexed=True)


def read(url: str):
    """The index as anndata reads it, as a dense matrix, and the attributes."""
    group = zarr.open_group(url, mode="r")["X_T"]
    matrix = anndata.io.read_elem(group)
    assert matrix.format == "csc" and matrix.has_canonical_format
    return matrix, group.attrs[index_run.ATTRIBUTE]


def index_files(url: str) -> dict[str, bytes]:
    return {key: value for key, value in small_run.contents(url).items() if key.startswith("X_T/")}


OPTIONS = [
    small_index.OPTIONS,
    IndexOptions(k=5, weighting="log", normalize="euclidean"),
    IndexOptions(k=8, decoding="plain", weighting="one", normalize="none"),
    IndexOptions(k=8, decoding="plain"),
    IndexOptions(k=12, hub_share=0.3, max_postings=7),
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: f"{o.decoding}-{o.weighting}-{o.normalize}-{o.max_postings}")
def test_the_index_equals_its_definition(url, options):
    found = small_index.build_index(url, options)
    matrix, attributes = read(url)
    expected = small_index.reference(url, options)
    dense = matrix.toarray()
    vocab_size = dense.shape[1] // 2
    # Logits of the two computations differ by rounding, 1e-6 of their size.
    np.testing.assert_allclose(dense[:, :vocab_size], expected.key, atol=2e-5)
    np.testing.assert_allclose(dense[:, vocab_size:], expected.literal, rtol=1e-5)
    assert attributes == found and found["postings"] == matrix.nnz == (dense > 0).sum()
    assert found["num_documents"] == 85
    assert inspect_store.inspect(url, verify=True)["damage"] == []
    assert not store_files.StoreFiles(url).keys(index_run.WORK + "/"), "the build left its parts"


@pytest.mark.parametrize("block_rows, rtol", [(small_index.BLOCK_ROWS, 0), (1000, 1e-6)])
def test_blocks_and_shards_change_no_posting(built, block_rows, rtol):
    """Products of another number of rows may round otherwise; shards change no byte but their own layout."""
    matrix, _ = read(built)
    build.remove(store_files.StoreFiles(built))
    small_index.build_index(built, block_rows=block_rows, shard_postings=1 << 20)
    whole, _ = read(built)
    np.testing.assert_array_equal(matrix.indices, whole.indices)
    np.testing.assert_array_equal(matrix.indptr, whole.indptr)
    np.testing.assert_allclose(matrix.data, whole.data, rtol=rtol, atol=0)
    assert len([key for key in index_files(built) if key.startswith("X_T/data/c/")]) == 1


def _interrupted(url: str) -> index_run.IndexRun:
    """A build that dies between blocks; and one that dies while it writes shards leaves garbage in one."""
    store = reader.StoreReader(url)
    described = index_run.describe(store, small_index.OPTIONS)
    sizes = {"block_rows": small_index.BLOCK_ROWS, "shard_postings": small_index.SHARD_POSTINGS}
    digest = index_run.digest_of(described, **sizes)
    run = index_run.IndexRun(url, small_index.model(), small_index.OPTIONS, **sizes, digest=digest)
    build.begin(run, store)
    for block in run.blocks(store.dims.num_rows)[:2]:
        blocks.process(run, block)
    return run


def test_a_build_that_died_resumes_to_the_same_bytes(built, monkeypatch):
    expected = index_files(built)
    build.remove(store_files.StoreFiles(built))

    run = _interrupted(built)
    done = []
    original = blocks._key_postings
    monkeypatch.setattr(blocks, "_key_postings", lambda *a: done.append(1) or original(*a))
    monkeypatch.setattr(build, "_finish", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        small_index.build_index(built)
    assert len(done) == 3, "finished blocks were computed again"
    assert index_run.read_index_attributes(store_files.StoreFiles(built)) is None, "half an index looks whole"
    # Garbage in a shard whose marker is gone is written over.
    (pathlib.Path(built) / index_run.marker_key("shards", 1)).unlink()
    (pathlib.Path(built) / "X_T/data/c/1").write_bytes(b"garbage")
    monkeypatch.undo()
    small_index.build_index(built)
    assert index_files(built) == expected
    assert run.digest


def test_markers_of_other_options_do_not_count(url):
    _interrupted(url)
    options = dataclasses.replace(small_index.OPTIONS, k=3)
    small_index.build_index(url, options)
    expected = small_index.reference(url, options)
    matrix, _ = read(url)
    np.testing.assert_allclose(matrix.toarray()[:, : expected.key.shape[1]], expected.key, atol=2e-5)


@pytest.mark.integration
def test_worker_processes_build_the_same_bytes(built):
    expected = index_files(built)
    build.remove(store_files.StoreFiles(built))
    beam_options = cli.beam_options(["--direct_running_mode=multi_processing", "--direct_num_workers=2"])
    sizes = {"block_rows": small_index.BLOCK_ROWS, "shard_postings": small_index.SHARD_POSTINGS}
    build.build(built, small_index.OPTIONS, beam_options, model=small_index.model(), **sizes)
    assert index_files(built) == expected


def test_uint8_impacts_are_within_half_a_level(url):
    found = small_index.build_index(url, dataclasses.replace(small_index.OPTIONS, impacts="uint8"))
    matrix, _ = read(url)
    assert matrix.data.dtype == np.uint8 and matrix.data.min() >= 1
    expected = small_index.reference(url)
    vocab_size = expected.key.shape[1]
    dense = matrix.toarray().astype(float)
    for part, exact, scale in (
        (dense[:, :vocab_size], expected.key, found["scales"][0]),
        (dense[:, vocab_size:], expected.literal, found["scales"][1]),
    ):
        kept = exact > scale / 2  # a posting lighter than half a level keeps one
        assert np.abs(part * scale - exact)[kept].max() <= scale / 2 * 1.001
        assert ((part > 0) == (exact > 1e-9)).all()


def test_a_summed_index_holds_the_sum_at_the_share_that_was_asked_for(url):
    options = dataclasses.replace(small_index.OPTIONS, literal="summed", literal_share=0.25)
    found = small_index.build_index(url, options, block_rows=1000)
    matrix, _ = read(url)
    expected = small_index.reference(url, options)
    scaled = found["literal_scale"] * expected.literal
    np.testing.assert_allclose(matrix.toarray(), expected.key + scaled, atol=2e-5)
    assert (scaled**2).sum() / ((scaled**2).sum() + (expected.key**2).sum()) == pytest.approx(0.25, abs=1e-4)


def test_a_summed_index_does_not_depend_on_its_blocks(url):
    """What literal tokens weigh is measured on all blocks."""
    options = dataclasses.replace(small_index.OPTIONS, literal="summed")
    scales, matrices = [], []
    for block_rows in (1000, small_index.BLOCK_ROWS, 40):  # the last of 40 is one of 10
        scales.append(small_index.build_index(url, options, block_rows=block_rows, overwrite=True)["literal_scale"])
        matrices.append(read(url)[0].toarray())
        build.remove(store_files.StoreFiles(url))
    # Products of fewer rows may round otherwise: 1e-6 of their size.
    np.testing.assert_allclose(scales, scales[0], rtol=1e-6)
    for matrix in matrices[1:]:
        np.testing.assert_allclose(matrix, matrices[0], rtol=1e-5)


@pytest.mark.parametrize("literal", ["separate", "summed"])
def test_without_saturation_a_token_counts_once_and_none_is_undefined(url, literal):
    """k1 = 0 makes 0 / 0 of a key token that does not stand in the text."""
    options = dataclasses.replace(small_index.OPTIONS, literal=literal, k1=0.0)
    found = small_index.build_index(url, options)
    dense = read(url)[0].toarray()
    expected = small_index.reference(url, options)
    wanted = np.hstack([expected.key, expected.literal])
    if literal == "summed":
        wanted = expected.key + found["literal_scale"] * expected.literal
    np.testing.assert_allclose(dense, wanted, atol=2e-5)


def test_only_tokens_of_the_text(url):
    options = dataclasses.replace(small_index.OPTIONS, in_text_only=True, normalize="none")
    small_index.build_index(url, options)
    matrix, _ = read(url)
    expected = small_index.reference(url, options)
    vocab_size = expected.key.shape[1]
    np.testing.assert_allclose(matrix.toarray()[:, :vocab_size], expected.key * (expected.literal > 0), atol=2e-5)


def test_an_index_of_other_options_is_refused_and_replaced_on_request(built):
    before = index_files(built)
    other = dataclasses.replace(small_index.OPTIONS, k=3)
    with pytest.raises(ValueError, match=r"k: stored 12, asked for 3\nPass --replace"):
        small_index.build_index(built, other)
    assert index_files(built) == before
    assert small_index.build_index(built, small_index.OPTIONS)["num_documents"] == 85
    small_index.build_index(built, other, overwrite=True)
    assert read(built)[1]["described"]["options"]["k"] == 3


def test_a_store_without_embeddings_says_what_to_do(tmp_path):
    asked = small_run.options(tmp_path)
    small_run.launch(asked)
    with pytest.raises(ValueError, match="--save_embeddings into a new --output, or build this index with"):
        small_index.build_index(asked.output)
    small_index.build_index(asked.output, IndexOptions(k=8, decoding="plain"))
    assert read(asked.output)[1]["num_documents"] == 85
    with pytest.raises(ValueError, match="more than the 8 key tokens a row"):
        small_index.build_index(asked.output, IndexOptions(k=9, decoding="plain"), overwrite=True)


@pytest.mark.parametrize("centred, without_first", [(True, False), (False, True)])
def test_the_corpus_prior_can_be_taken_out(url, centred, without_first):
    options = dataclasses.replace(small_index.OPTIONS, centred=centred, without_first=without_first, normalize="none")
    small_index.build_index(url, options)
    store = reader.StoreReader(url)
    found = build.decoding.read_map(store.files)
    hidden = store.embeddings(0, 1)
    x, _ = found.apply(hidden)
    unit = hidden / np.linalg.norm(hidden)
    moments = store.merged_moments().f
    if centred:
        mean = moments.unit_sum / moments.count
        np.testing.assert_allclose(found.centre, mean, rtol=1e-5)
        direction = (unit - mean) / np.linalg.norm(unit - mean)
    else:
        first = np.linalg.eigh(moments.second_moment)[1][:, -1]
        direction = unit - (unit @ first)[:, None] * first
    whitened = build.decoding.make_map(
        small_index.OPTIONS, np.asarray(encoder.shared_encoder(small_index.model()).embedder.head.weight), moments
    ).matrix
    np.testing.assert_allclose(x, direction @ whitened.T, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"k": 0}, "at least one key token"),
        ({"hub_share": 0.0}, "share of the documents"),
        ({"literal_share": 1.0}, "between 0 and 1"),
        ({"weighting": "sqrt"}, "weighting='sqrt' is not one of logit, log, one"),
        ({"b": 2.0}, "b=2.0 lies in 0 to 1"),
    ],
)
def test_impossible_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        IndexOptions(**changes)


@pytest.mark.parametrize("part", ["data", "indices"])
@pytest.mark.parametrize("harm", ["one bit", "missing"])
def test_damage_of_the_index_is_found(built, part, harm):
    path = pathlib.Path(built) / "X_T" / part / "c" / "1"
    if harm == "missing":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 8
        path.write_bytes(data)
    damage = inspect_store.inspect(built, verify=True)["damage"]
    assert damage and all(f"X_T/{part}, postings 256 to 511" in line for line in damage)


def test_lists_that_do_not_ascend_are_found(built):
    files = store_files.StoreFiles(built)
    array = merge.arrays.open_array_to_write(files, index_run.INDICES)
    rows = np.array(array[:256].read().result())
    array[:256].write(rows[::-1]).result()
    damage = inspect_store.inspect(built, verify=True)["damage"]
    assert any("rows do not ascend" in line for line in damage)


def test_the_program_builds_and_reports(url, tmp_path, capsys):
    output = tmp_path / "index.json"
    with flagsaver.flagsaver(
        store=url, model_path=str(small_run.model_dir()), k=12, output=str(output), query_table=True, block_rows=18
    ):
        build_index.main([])
    assert "85 documents" in capsys.readouterr().out
    assert json.loads(output.read_text())["described"]["options"]["k"] == 12
    assert store_files.StoreFiles(url).read("retrieval/query_table/zarr.json")


def test_a_report_that_could_not_be_written_is_refused_before_the_build(url, tmp_path):
    given = {"store": url, "model_path": str(small_run.model_dir()), "output": str(tmp_path / "none" / "index.json")}
    with flagsaver.flagsaver(**given), pytest.raises(ValueError, match=r"--output=.*there is no directory"):
        build_index.main([])
    assert index_run.read_index_attributes(store_files.StoreFiles(url)) is None
