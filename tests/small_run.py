"""A small but real run for tests of the engine: a tiny BERT, rows of every kind, stores compared by bytes."""

import atexit
import dataclasses
import functools
import json
import pathlib
import shutil
import tempfile

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from keytokens import models
from keytokens.pipelines import align_run, finalize, transforms, unit_work
from keytokens.pipelines.store import files as store_files
from keytokens.pipelines.store import reader
from tests import tiny_checkpoint

_OF_THE_REPORT = ("run/report.html", "run/examples.json")


@functools.cache
def _scratch() -> pathlib.Path:
    directory = tempfile.mkdtemp(prefix="keytokens_small_run_")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return pathlib.Path(directory)


@functools.cache
def model_dir() -> pathlib.Path:
    """The tiny model: one for all tests of a process, which then compile its programs once."""
    return tiny_checkpoint.write_tiny_bert(_scratch() / "model")


@functools.cache
def corpus_dir(num_rows: int) -> pathlib.Path:
    """Two files of `documents`, the second without a last newline; stores of one corpus can be compared by bytes."""
    directory = _scratch() / f"corpus{num_rows}"
    directory.mkdir()
    lines = documents(num_rows)
    (directory / "a.jsonl").write_bytes(b"\n".join(lines[: num_rows // 3]) + b"\n")
    (directory / "b.jsonl").write_bytes(b"\n".join(lines[num_rows // 3 :]))
    return directory


def documents(num_rows: int, *, seed: int = 0, max_words: int = 60) -> list[bytes]:
    """JSON lines of all lengths; every 17th row is bad in one of four ways, every 29th repeats an id."""
    rng = np.random.default_rng(seed)
    lines = []
    for row in range(num_rows):
        text = " ".join(rng.choice(tiny_checkpoint.WORDS, rng.integers(1, max_words)))
        doc_id = "d3" if row % 29 == 28 else f"d{row}"
        line = json.dumps({"_id": doc_id, "text": text}).encode()
        if row % 17 == 16:
            line = (b"not json", b"", b'{"_id": "x", "text": "\xff"}', b'{"_id": "x"}')[row // 17 % 4]
        lines.append(line)
    return lines


def options(directory: pathlib.Path, *, num_rows: int = 90, **changes) -> align_run.AlignOptions:
    """Options of a run into `directory`/out.zarr."""
    defaults = align_run.AlignOptions(
        model=models.read_embedder(str(model_dir())),
        backbone=None,
        corpus=(str(corpus_dir(num_rows) / "*"),),
        output=str(directory / "out.zarr"),
        k=8,
        unit_rows=16,
    )
    return dataclasses.replace(defaults, **changes)


def launch(asked: align_run.AlignOptions) -> reader.StoreReader:
    """Runs in this process, on FnApiRunner."""
    run, planned = align_run.prepare(asked)
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        transforms.define_pipeline(pipeline, run, planned.units)
    return reader.StoreReader(asked.output)


def launch_without_engine(asked: align_run.AlignOptions) -> reader.StoreReader:
    """The same store, a unit after the other, for tests to which Beam is nothing."""
    run, planned = align_run.prepare(asked)
    for unit in planned.units:
        if unit_work.finished(run, unit) is None:
            unit_work.process(run, unit)
    finalize.finalize(run)
    return reader.StoreReader(asked.output)


@functools.cache
def backbone_dir() -> pathlib.Path:
    """The tiny model of other weights that serves as a backbone."""
    return tiny_checkpoint.write_tiny_bert(_scratch() / "backbone", seed=1)


@functools.cache
def pair_store(embedder: str = "model") -> reader.StoreReader:
    """A store with a backbone and all embeddings, 90 rows in 6 units; one for all tests of a process.

    They leave its rows alone; analyses keep their results in it.

    Args:
      embedder: "model", or "backbone" for the backbone itself, which moved nowhere.
    """
    model = models.read_embedder(str(model_dir() if embedder == "model" else backbone_dir()))
    backbone = models.read_embedder(str(backbone_dir()), recipe=model.recipe)
    directory = _scratch() / f"pair_{embedder}"
    return launch(options(directory, model=model, backbone=backbone, k=40, save_embeddings=True))


def contents(url: str) -> dict[str, bytes]:
    """Every key of the store and its bytes, but for the report and the texts kept for it: the program adds them."""
    files = store_files.StoreFiles(url)
    found = {key: files.read(key) for key in files.keys("") if key not in _OF_THE_REPORT}
    return {key: value for key, value in found.items() if value is not None}


def assert_same_store(url: str, expected: dict[str, bytes]) -> None:
    """Byte by byte; names what differs instead of printing megabytes."""
    found = contents(url)
    assert sorted(found) == sorted(expected)
    assert [key for key in found if found[key] != expected[key]] == []
