"""Eight virtual devices give what one gives, and loading never holds much more than the parameters."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from jax.sharding import PartitionSpec

from keytokens import models
from keytokens.models import loading, sharding
from tests.models import tiny, zoo_checkpoints

ROOT = pathlib.Path(__file__).parents[2]

# Its own process: the number of devices is fixed once JAX has started.
ON_EIGHT = """
import json, sys
import jax, numpy as np
from keytokens import models
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
for directory, pooling in json.loads(sys.argv[1]):
    config = models.read_embedder(directory, pooling=pooling)
    mesh = models.make_mesh(data=2, model=4)
    embedder = models.load_embedder(config, place=models.place_on_mesh(mesh, config))
    weight = embedder.params["body"]["layers"][0]["mlp"]["up"]["weight"]
    assert {shard.data.shape for shard in weight.addressable_shards} == {(12, 32)}, weight.sharding
    ids = np.random.default_rng(0).integers(3, 90, (4, 24)).astype(np.int32)
    mask = np.arange(24)[None] < np.array([24, 9, 3, 17])[:, None]
    batch = [jax.device_put(each, models.batch_sharding(mesh)) for each in (ids, mask, mask)]
    sharded = np.asarray(jax.jit(embedder.embed)(embedder.params, *batch))
    alone = models.load_embedder(config)
    expected = np.asarray(jax.jit(alone.embed)(alone.params, ids, mask, mask))
    error = np.abs(sharded - expected).max() / np.abs(expected).max()
    assert error < 2e-6, (directory, error)
try:
    models.make_mesh(data=3, model=4)
except models.ModelError as problem:
    print(problem)
"""


def test_eight_devices_give_what_one_gives(tmp_path):
    hub_ids = [("huggyllama/llama-7b", "mean"), ("google-bert/bert-base-uncased", "cls")]
    cases = [(str(zoo_checkpoints.build(tmp_path, hub_id)), pooling) for hub_id, pooling in hub_ids]
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ON_EIGHT, json.dumps(cases)],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT / ".links")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "takes 12 devices and there are 8" in done.stdout


def test_partition_rules_by_part():
    family = models.FAMILIES["llama"]
    rows, columns = PartitionSpec("model", None), PartitionSpec(None, "model")
    layer = ("body", "layers", 0)
    assert sharding.partition_spec(family, (*layer, "attn", "q", "weight"), 2) == rows
    assert sharding.partition_spec(family, (*layer, "attn", "q", "bias"), 1) == PartitionSpec("model")
    assert sharding.partition_spec(family, (*layer, "attn", "o", "weight"), 2) == columns
    assert sharding.partition_spec(family, (*layer, "attn", "o", "bias"), 1) == PartitionSpec()
    assert sharding.partition_spec(family, (*layer, "attn_norm", "weight"), 1) == PartitionSpec()
    assert sharding.partition_spec(family, ("body", "embed", "weight"), 2) == columns


@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="reads Linux's memory counters")
def test_loading_holds_one_tensor_more_than_the_parameters(tmp_path):
    def anonymous_bytes():
        lines = pathlib.Path("/proc/self/status").read_text("utf-8").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    config = {
        "model_type": "llama",
        "vocab_size": 4096,
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    }
    shapes = {"model.embed_tokens.weight": (4096, 512), "model.norm.weight": (512,)}
    for layer in range(6):
        shapes |= {f"model.layers.{layer}.self_attn.{part}_proj.weight": (512, 512) for part in "qkvo"}
        shapes |= {f"model.layers.{layer}.mlp.{part}_proj.weight": (2048, 512) for part in ("gate", "up")}
        shapes |= {f"model.layers.{layer}.mlp.down_proj.weight": (512, 2048)}
        norms = ("input_layernorm", "post_attention_layernorm")
        shapes |= {f"model.layers.{layer}.{norm}.weight": (512,) for norm in norms}
    tensors = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    tiny.write_checkpoint(tmp_path, config, tensors, num_shards=3, dtype="bfloat16")
    total = sum(value.nbytes for value in tensors.values())
    del tensors
    plan = loading.plan_loading(str(tmp_path))
    before, peak = anonymous_bytes(), 0

    def place(path, value):
        nonlocal peak
        placed = loading.on_default_device(path, value)
        peak = max(peak, anonymous_bytes() - before)
        return placed

    parameters = loading.read_parameters(plan.body, "float32", place)
    assert parameters["body"]["norm"]["weight"].shape == (512,)
    assert peak < 1.3 * total, f"{peak / total:.2f} times the parameters"
