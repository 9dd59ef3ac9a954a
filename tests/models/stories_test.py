"""A real LLaMA, Karpathy's stories260K, converted to Hugging Face layout, tells its story through our transformer."""

import os
import pathlib
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from keytokens.models import loading
from keytokens.models.abstract import abstract_transformer
from tests.models import tiny

DATA = pathlib.Path(os.environ.get("KEYTOKENS_DATA", pathlib.Path(__file__).parents[2].parent / "shared" / "data"))
STORIES = DATA / "checkpoints" / "stories260K"
BOS, LENGTH = 1, 32

pytestmark = pytest.mark.skipif(not STORIES.is_dir(), reason=f"{STORIES} is not here; KEYTOKENS_DATA names its place")


def interleaved_to_halves(weight, heads):
    """llama2.c turns neighbouring components together, Hugging Face component i with i + half."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def convert(path):
    """config.json and tensors of a llama2.c file: 7 int32, then float32 weights in its own order."""
    content = path.read_bytes()
    dim, hidden, depth, heads, kv_heads, vocab, _ = struct.unpack("7i", content[:28])
    numbers = iter(np.split(np.frombuffer(content, np.float32, offset=28), [0])[1:])
    flat, place = next(numbers), 0

    def take(*shape):
        nonlocal place
        size = int(np.prod(shape))
        place += size
        return flat[place - size : place].reshape(shape)

    shared = dim * kv_heads // heads
    tensors = {"model.embed_tokens.weight": take(vocab, dim)}
    parts = [
        ("input_layernorm", (dim,)),
        ("self_attn.q_proj", (dim, dim)),
        ("self_attn.k_proj", (shared, dim)),
        ("self_attn.v_proj", (shared, dim)),
        ("self_attn.o_proj", (dim, dim)),
        ("post_attention_layernorm", (dim,)),
        ("mlp.gate_proj", (hidden, dim)),
        ("mlp.down_proj", (dim, hidden)),
        ("mlp.up_proj", (hidden, dim)),
    ]
    for name, shape in parts:
        for layer, weight in enumerate(take(depth, *shape)):
            turned = {"self_attn.q_proj": heads, "self_attn.k_proj": kv_heads}.get(name)
            weight = interleaved_to_halves(weight, turned) if turned else weight
            tensors[f"model.layers.{layer}.{name}.weight"] = weight
    tensors["model.norm.weight"] = take(dim)
    config = {
        "model_type": "llama",
        "vocab_size": vocab,
        "hidden_size": dim,
        "intermediate_size": hidden,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }
    return config, tensors


def read_pieces(path):
    """The pieces of a llama2.c tokenizer: int32 longest, then float32 score, int32 length and bytes of each."""
    content, place, pieces = path.read_bytes(), 4, []
    while place < len(content):
        _, size = struct.unpack("fi", content[place : place + 8])
        pieces.append(content[place + 8 : place + 8 + size].decode("utf-8"))
        place += 8 + size
    return pieces


def test_it_tells_the_story_of_lily(tmp_path):
    config, tensors = convert(STORIES / "stories260K.bin")
    plan = loading.plan_loading(str(tiny.write_checkpoint(tmp_path, config, tensors)))
    body = loading.read_parameters(plan.body, "float32", loading.on_default_device)["body"]
    graph = abstract_transformer(plan.spec).graph

    @jax.jit
    def logits(ids, segments):
        states = nnx.merge(graph, body)(ids, segments)
        return jnp.einsum("btd,vd->btv", states, body["embed"]["weight"])

    ids, segments = np.zeros((2, 1, LENGTH), np.int32)
    ids[0, 0] = BOS
    for place in range(1, LENGTH):
        segments[0, :place] = 1
        ids[0, place] = np.asarray(logits(ids, segments))[0, place - 1].argmax()
    pieces = read_pieces(STORIES / "tok512.bin")
    story = "".join(pieces[token] for token in ids[0, 1:]).strip()
    assert story.startswith("Once upon a time, there was a little girl named Lily")
