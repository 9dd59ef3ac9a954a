"""Makes parity/*.npz: what transformers' own PyTorch modules compute on tiny checkpoints.

  pip install torch==2.13.0 transformers==5.23.0 ml_dtypes
  PYTHONSAFEPATH=1 PYTHONPATH=tests/models python tests/testdata/models/make_parity.py [CASE ...]

Weights follow from their names (tests/models/tiny.py), so only shapes are stored. Texts are longer than the windows.
"""

import json
import logging
import sys
import tempfile
from pathlib import Path

import numpy as np
import tiny
import torch
import transformers as tf
from parity_cases import CASES, LENGTHS, NUM_TOKENS, VOCAB
from safetensors import safe_open

HERE = Path(__file__).parent / "parity"
MASKED = {"bert", "mpnet", "xlm-roberta", "roberta"}


def build(config):
    if config.model_type in MASKED:
        cls = tf.AutoModelForMaskedLM
    elif config.model_type == "t5":
        return tf.T5ForConditionalGeneration._from_config(config, attn_implementation="eager").eval()
    else:
        cls = tf.AutoModelForCausalLM
    return cls.from_config(config, attn_implementation="eager").eval()


def fill(model, directory):
    """Saves the model, and gives every saved tensor the values that its name stands for."""
    model.save_pretrained(directory)
    with safe_open(Path(directory) / "model.safetensors", framework="numpy") as handle:
        shapes = {name: list(handle.get_slice(name).get_shape()) for name in handle.keys()}  # noqa: SIM118
    tensors = tiny.make_tensors(shapes, model_type=model.config.model_type)
    own = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())
    with torch.no_grad():
        for name, values in tensors.items():
            own[name].copy_(torch.from_numpy(values))
    return shapes


def open_tril(model, config):
    """GPT-Neo ignores is_causal: its own mask buffers decide."""
    index = torch.arange(config.max_position_embeddings)
    for kind, block in zip(config.attention_layers, model.transformer.h, strict=True):
        near = (index[:, None] - index[None]).abs() < (10**6 if kind == "global" else config.window_size)
        block.attn.attention.bias = near[None, None]


def compute(case):
    """The arrays of one golden file."""
    with tempfile.TemporaryDirectory() as directory:
        # Through a file, as users' configurations come: EmbeddingGemma's window is halved on reading.
        (Path(directory) / "config.json").write_text(json.dumps(case.config))
        config = tf.AutoConfig.from_pretrained(directory)
    if case.attention == "bidirectional":
        config.is_causal = False
    model = build(config)
    if case.attention == "bidirectional" and config.model_type == "gpt_neo":
        open_tril(model, config)
    with tempfile.TemporaryDirectory() as directory:
        shapes = fill(model, directory)
    rng = np.random.default_rng(0)
    out = {}
    for side in ("right", "left"):
        segments = np.zeros((len(LENGTHS), NUM_TOKENS), np.int32)
        for row, length in enumerate(LENGTHS):
            segments[row, slice(0, length) if side == "right" else slice(NUM_TOKENS - length, None)] = 1
        ids = np.where(segments > 0, rng.integers(3, VOCAB, segments.shape), config.pad_token_id or 0).astype(np.int32)
        mask = torch.tensor(segments)
        extra = {}
        if config.model_type in ("gpt_neo", "bert"):
            extra["position_ids"] = torch.clamp(torch.cumsum(mask, 1) - 1, min=0)
        if config.model_type == "t5":
            extra["decoder_input_ids"] = torch.full((len(LENGTHS), 1), config.decoder_start_token_id)
        with torch.no_grad():
            result = model(input_ids=torch.tensor(ids), attention_mask=mask, output_hidden_states=True, **extra)
        out[f"ids_{side}"], out[f"segments_{side}"] = ids, segments
        if config.model_type == "t5":
            out[f"hidden_{side}"] = result.encoder_last_hidden_state.numpy()
            out[f"decoder_{side}"] = result.decoder_hidden_states[-1][:, 0].numpy()
            out[f"logits_{side}"] = result.logits[:, 0].numpy()
        else:
            out[f"hidden_{side}"] = result.hidden_states[-1].numpy()
            # The longest text's last tokens are enough for the head.
            out[f"logits_{side}"] = result.logits[0, -4:].numpy()
    meta = {
        "config": case.config,
        "attention": case.attention,
        "shapes": shapes,
        "versions": {"torch": torch.__version__, "transformers": tf.__version__},
    }
    out["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    return out


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    for chosen in sys.argv[1:] or CASES:
        arrays = compute(CASES[chosen])
        np.savez_compressed(HERE / f"{chosen}.npz", **arrays)
        print(f"{chosen:28s} mean |hidden| {np.abs(arrays['hidden_right']).mean():.2f}")
