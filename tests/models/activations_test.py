"""Activations: what transformers calls them, what they compute, and which are refused before anything is loaded."""

import json
import math

import numpy as np
import pytest

from keytokens import models
from keytokens.models.ops import ACTIVATIONS
from tests.models import zoo_checkpoints

BERT = "thenlper/gte-base"
TANH_FACTOR = math.sqrt(2 / math.pi)


def _erf_gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def _tanh_gelu(x):
    return 0.5 * x * (1 + np.tanh(TANH_FACTOR * (x + 0.044715 * x**3)))


# As transformers/activations.py of version 5.24 defines them, in float64.
DEFINITIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "swish": lambda x: x / (1 + np.exp(-x)),
    "gelu": _erf_gelu,
    "gelu_python": _erf_gelu,
    "gelu_new": _tanh_gelu,
    "gelu_accurate": _tanh_gelu,
    "gelu_pytorch_tanh": _tanh_gelu,
    "gelu_python_tanh": _tanh_gelu,
    "gelu_fast": lambda x: 0.5 * x * (1 + np.tanh(x * 0.7978845608 * (1 + 0.044715 * x * x))),
}


@pytest.fixture
def read(tmp_path, monkeypatch):
    """From a name in config.json to the Spec's."""
    monkeypatch.setenv("KEYTOKENS_CHECKPOINTS", str(tmp_path))

    def read_activation(name, hub_id=BERT, attribute="hidden_act"):
        directory = zoo_checkpoints.build(tmp_path, hub_id)
        file = directory / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | {attribute: name}), "utf-8")
        return models.read_embedder(str(directory), pooling="mean").spec.activation

    return read_activation


@pytest.mark.parametrize("name", DEFINITIONS)
def test_an_activation_is_what_transformers_means(read, name):
    x = np.linspace(-8, 8, 2001)
    found = ACTIVATIONS[read(name)](np.asarray(x, np.float32))
    # float32's rounding at 8 is 5e-7; the two gelus are 5e-4 apart.
    np.testing.assert_allclose(found, DEFINITIONS[name](x), rtol=2e-6, atol=1e-6)


def test_all_implemented_activations_are_defined_here():
    assert set(ACTIVATIONS) <= DEFINITIONS.keys()


@pytest.mark.parametrize("name", ["quick_gelu", "tanh", "gelu_10", "nonsense", ""])
def test_another_activation_is_refused_before_anything_is_loaded(read, name):
    with pytest.raises(models.ModelError, match=f"activation {name!r}, which is not implemented; silu, relu, .*swish"):
        read(name)


@pytest.mark.parametrize(
    ("hub_id", "attribute", "name"),
    [
        ("huggyllama/llama-7b", "hidden_act", "tanh"),
        ("facebook/opt-1.3b", "activation_function", "tanh"),
        ("EleutherAI/gpt-neo-1.3B", "activation_function", "tanh"),
        ("google/embeddinggemma-300m", "hidden_activation", "tanh"),
        ("google-t5/t5-base", "feed_forward_proj", "tanh"),
    ],
)
def test_every_family_refuses_it(read, hub_id, attribute, name):
    with pytest.raises(models.ModelError, match="activation 'tanh', which is not implemented"):
        read(name, hub_id, attribute)
