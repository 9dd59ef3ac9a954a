"""Our one transformer against transformers' own modules: golden files, and live where torch is installed."""

import importlib.util
import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from keytokens.models import loading
from keytokens.models.abstract import abstract_head_transform, abstract_transformer
from tests.models import tiny
from tests.models.parity_cases import CASES, LENGTHS

GOLDEN = pathlib.Path(__file__).parents[1] / "testdata" / "models" / "parity"
# Of the largest hidden component: two float32 programs that sum in different orders, three to seven layers deep.
TOLERANCE = 1e-5


def read_golden(name):
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = dict(file)
    return json.loads(arrays.pop("meta").tobytes()), arrays


def load(directory, attention, *, decoder=False):
    plan = loading.plan_loading(str(directory), attention=attention, decoder=decoder)
    body = loading.read_parameters(plan.body, "float32", loading.on_default_device)["body"]
    head = loading.read_parameters(plan.head, "float32", loading.on_default_device).get("head", {})
    return plan, body, head


def graph_of(spec):
    return abstract_transformer(spec).graph


def program(spec):
    graph = graph_of(spec)
    # Not jitted: the operations of all cases share their shapes, so this compiles far less.
    return lambda body, ids, segments: nnx.merge(graph, body)(jnp.asarray(ids), jnp.asarray(segments))


def logits_of(plan, body, head, hidden):
    spec = plan.spec
    if "transform" in head:
        hidden = nnx.merge(abstract_head_transform(spec).graph, head["transform"])(hidden)
    matrix = head.get("head", {})
    found = np.asarray(hidden) @ np.asarray(matrix.get("weight", body["embed"]["weight"])).T
    found = spec.head.scale * (found + np.asarray(matrix.get("bias", np.zeros(1, np.float32))))
    return found if spec.head.softcap is None else spec.head.softcap * np.tanh(found / spec.head.softcap)


def assert_close(actual, golden, what):
    error = np.abs(actual - golden).max() / np.abs(golden).max()
    assert error < TOLERANCE, f"{what}: {error:.1e} of the largest value"


@pytest.mark.parametrize("name", CASES)
def test_hidden_states_and_logits_equal_transformers(name, tmp_path):
    meta, golden = read_golden(name)
    tensors = tiny.make_tensors(meta["shapes"], model_type=meta["config"]["model_type"])
    # Every other case from shards.
    tiny.write_checkpoint(tmp_path, meta["config"], tensors, num_shards=1 + len(name) % 3)
    plan, body, head = load(tmp_path, meta["attention"], decoder="decoder_right" in golden)
    for side in ("right", "left"):
        ids, segments = golden[f"ids_{side}"], golden[f"segments_{side}"]
        hidden = program(plan.spec)(body, ids, segments)
        real = segments > 0
        assert_close(np.asarray(hidden)[real], golden[f"hidden_{side}"][real], f"hidden states, padding {side}")
        read = hidden[0, -4:]
        if f"decoder_{side}" in golden:
            read = nnx.merge(graph_of(plan.spec), body).first_step(jnp.asarray(ids), jnp.asarray(segments))
            assert_close(np.asarray(read), golden[f"decoder_{side}"], f"decoder, padding {side}")
        assert_close(logits_of(plan, body, head, read), golden[f"logits_{side}"], f"logits, padding {side}")


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
@pytest.mark.parametrize("name", CASES)
def test_golden_files_are_what_transformers_computes_here(name, monkeypatch):
    # With this, the golden test above is a live comparison.
    monkeypatch.syspath_prepend(str(pathlib.Path(__file__).parent))
    spec = importlib.util.spec_from_file_location("make_parity", GOLDEN.parent / "make_parity.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    live = maker.compute(CASES[name])
    _, golden = read_golden(name)
    for key, expected in golden.items():
        if expected.dtype == np.float32:
            real = golden["segments_" + key.split("_")[1]] > 0 if key.startswith("hidden") else ...
            assert_close(live[key][real], expected[real], key)


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_packed_texts_do_not_see_each_other(name, tmp_path):
    meta, golden = read_golden(name)
    tiny.write_checkpoint(
        tmp_path, meta["config"], tiny.make_tensors(meta["shapes"], model_type=meta["config"]["model_type"])
    )
    plan, body, _ = load(tmp_path, meta["attention"])
    ids = golden["ids_right"]
    rows = [(1, LENGTHS[1]), (2, LENGTHS[2])]
    packed = np.concatenate([ids[row, :length] for row, length in rows])[None]
    segments = np.repeat([1, 2], [length for _, length in rows])[None].astype(np.int32)
    together = np.asarray(program(plan.spec)(body, packed, segments))[0]
    apart = np.concatenate([golden["hidden_right"][row, :length] for row, length in rows])
    assert_close(together, apart, "packed")


def test_rotary_tables_do_not_leak_between_configurations(tmp_path):
    meta, golden = read_golden("llama")
    tensors = tiny.make_tensors(meta["shapes"], model_type="llama")
    ids, segments = jnp.asarray(golden["ids_right"]), jnp.asarray(golden["segments_right"])
    found = []
    for theta in (10000.0, 500.0, 10000.0):
        config = meta["config"] | {"rope_parameters": {"rope_type": "default", "rope_theta": theta}}
        plan, body, _ = load(tiny.write_checkpoint(tmp_path / str(theta), config, tensors), "checkpoint")
        found.append(np.asarray(program(plan.spec)(body, ids, segments)))
    np.testing.assert_array_equal(found[0], found[2])
    assert np.abs(found[0] - found[1]).max() > 0.1
