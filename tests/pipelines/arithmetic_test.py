"""Embedders of dtype "int16": every architecture's hidden states, whole texts, and who may ask for them."""

import dataclasses
import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from keytokens import models
from keytokens.kernels.cpu_ffi import instructions, library
from keytokens.models import loading
from keytokens.models.abstract import abstract_transformer
from keytokens.pipelines import arithmetic, encoder
from tests.cpu_library import needs_cpu_library
from tests.models import tiny
from tests.models.parity_cases import CASES

GOLDEN = pathlib.Path(__file__).parents[1] / "testdata" / "models" / "parity"
TEXTS = ["the wing", "heat", "plate of the wing flow " * 9, "cone cone heat", "flow " * 40, "air"]


@needs_cpu_library
@pytest.mark.parametrize("name", CASES)
def test_hidden_states_of_every_architecture_are_those_of_float32(name, tmp_path):
    with np.load(GOLDEN / f"{name}.npz") as file:
        golden = dict(file)
    meta = json.loads(golden["meta"].tobytes())
    tensors = tiny.make_tensors(meta["shapes"], model_type=meta["config"]["model_type"])
    plan = loading.plan_loading(
        str(tiny.write_checkpoint(tmp_path, meta["config"], tensors)), attention=meta["attention"]
    )
    ops = arithmetic.ops_for("int16")
    body = loading.read_parameters(plan.body, "int16", loading.packed(ops.pack, loading.on_default_device))["body"]
    transformer = nnx.merge(abstract_transformer(plan.spec, ops).graph, body)
    for side in ("right", "left"):
        ids, segments = golden[f"ids_{side}"], golden[f"segments_{side}"]
        hidden = np.asarray(transformer(jnp.asarray(ids), jnp.asarray(segments)))[segments > 0]
        expected = golden[f"hidden_{side}"][segments > 0]
        error = np.abs(hidden - expected).max() / np.abs(expected).max()
        # Each product loses 4e-5 of its size; tiny layers of large random weights add that up.
        assert 1e-8 < error < 2e-3, error


@needs_cpu_library
def test_embeddings_hardly_depend_on_the_batch_and_are_near_those_of_float32(checkpoint):
    config = models.read_embedder(checkpoint)
    exact = encoder.Encoder(config).embed(TEXTS).hidden
    integers = encoder.Encoder(dataclasses.replace(config, dtype="int16"))
    assert integers.layout == "flat"
    found = integers.embed(TEXTS).hidden
    assert np.abs(found - exact).max() < 1e-3 * np.abs(exact).max()
    assert np.abs(found - exact).max() > 0
    for number, text in enumerate(TEXTS):
        # The kernels give the same bits (their tests); XLA's norms between them may not, in another shape.
        np.testing.assert_allclose(integers.embed([text]).hidden[0], found[number], atol=1e-4 * np.abs(exact).max())


def test_models_whose_scores_have_a_bias_or_a_cap_share_rows_no_longer_than_needed():
    spec = models.read_embedder("keytokens-embed").spec
    assert arithmetic.packs_whole_batches(spec, "int16")
    assert not arithmetic.packs_whole_batches(spec, "float32")
    assert not arithmetic.packs_whole_batches(dataclasses.replace(spec, buckets=32), "int16")
    assert not arithmetic.packs_whole_batches(dataclasses.replace(spec, score_softcap=50.0), "int16")


def test_integers_without_their_library_are_refused(checkpoint, monkeypatch, tmp_path):
    config = models.read_embedder(checkpoint, dtype="int16")
    with pytest.raises(models.ModelError, match="dtype='int16' does not fit these operations"):
        models.load_embedder(config)
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=r"dtype='int16' needs .* not built for this CPU: run `python -m keytokens"):
        encoder.Encoder(config)


def test_a_cpu_without_the_instructions_is_refused(monkeypatch):
    monkeypatch.setattr(instructions, "usable", lambda: ())
    with pytest.raises(ValueError, match="dtype='int16' needs a CPU with AVX-512 VNNI or AVX2, which this one lacks"):
        arithmetic.ops_for("int16")
