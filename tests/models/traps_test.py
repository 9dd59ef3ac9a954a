"""What each known trap costs when it is missed: the golden files notice every one of them.

Each line changes a Spec as one who has not read the model's code would have it.
"""

import dataclasses

import numpy as np
import pytest
from flax import nnx

from keytokens.models.abstract import abstract_transformer
from keytokens.models.rope import rotary_frequencies
from keytokens.models.spec import LayerSpec
from tests.models import parity_test, tiny


def layers(change):
    return lambda spec: {"layers": tuple(map(change, spec.layers))}


def wider(layer):
    return dataclasses.replace(layer, behind=None if layer.behind is None else layer.behind + 1)


def plain_rope(theta, head_dim):
    return lambda spec: {"ropes": (rotary_frequencies(head_dim, {"rope_theta": theta}),)}


TRAPS = {
    "gpt_neo: scores scaled": ("gpt_neo", lambda spec: {"score_scale": spec.head_dim**-0.5}),
    "gpt_neo: all layers global": ("gpt_neo", layers(lambda layer: LayerSpec(None, 0))),
    "gpt_neo: all layers local": ("gpt_neo", layers(lambda layer: LayerSpec(4, 0))),
    "gpt_neo: window one too wide": ("gpt_neo", layers(wider)),
    "gpt_neo: erf gelu": ("gpt_neo", lambda spec: {"activation": "gelu"}),
    "opt: positions from row 0": ("opt", lambda spec: {"first_position": 0}),
    "opt: gelu": ("opt", lambda spec: {"activation": "gelu"}),
    "llama: another theta": ("llama", plain_rope(500000.0, 8)),
    "llama: eps 1e-5": ("llama", lambda spec: {"norm_eps": 1e-5}),
    "llama 3: rope scaling ignored": ("llama_old_rope", plain_rope(5000.0, 8)),
    "mistral: window ignored": ("mistral", layers(lambda layer: LayerSpec(None, 0, 0))),
    "mistral: window one too wide": ("mistral", layers(wider)),
    "gemma 2: norms without 1 +": ("gemma2", lambda spec: {"norm_offset": 0.0}),
    "gemma 2: embeddings not scaled": ("gemma2", lambda spec: {"embed_scale": 1.0}),
    "gemma 2: no soft-cap": ("gemma2", lambda spec: {"score_softcap": None}),
    "gemma 2: scaled by head_dim": ("gemma2", lambda spec: {"score_scale": spec.head_dim**-0.5}),
    "gemma 2: odd layers local": ("gemma2", lambda spec: {"layers": spec.layers[::-1]}),
    "gemma 3: one theta": ("gemma3", layers(lambda layer: dataclasses.replace(layer, rope=0))),
    "embeddinggemma: causal": ("embeddinggemma", layers(lambda layer: dataclasses.replace(layer, ahead=0))),
    "embeddinggemma: window of the file": (
        "embeddinggemma",
        layers(lambda layer: layer if layer.behind is None else LayerSpec(7, 7, layer.rope)),
    ),
    "mpnet: positions from row 0": ("mpnet", lambda spec: {"first_position": 0}),
    "bert: eps 1e-5": ("bert", lambda spec: {"norm_eps": 1e-5}),
    "bert: tanh gelu": ("bert", lambda spec: {"activation": "gelu_new"}),
    "t5: scores scaled": ("t5", lambda spec: {"score_scale": spec.head_dim**-0.5}),
    "t5: buckets of BERT's reach": ("t5", lambda spec: {"bucket_reach": 128}),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_the_golden_files_notice(trap, tmp_path):
    name, change = TRAPS[trap]
    meta, golden = parity_test.read_golden(name)
    tensors = tiny.make_tensors(meta["shapes"], model_type=meta["config"]["model_type"])
    plan, body, _ = parity_test.load(
        tiny.write_checkpoint(tmp_path, meta["config"], tensors), meta["attention"], decoder="decoder_right" in golden
    )
    wrong = dataclasses.replace(plan.spec, **change(plan.spec))
    ids, segments = golden["ids_right"], golden["segments_right"]
    found = np.asarray(nnx.merge(abstract_transformer(wrong).graph, body)(ids, segments))
    real = segments > 0
    error = np.abs(found - golden["hidden_right"])[real].max() / np.abs(golden["hidden_right"][real]).max()
    assert error > 2 * parity_test.TOLERANCE, f"{error:.1e}: this golden file would let the mistake pass"
