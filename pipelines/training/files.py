"""What a training leaves behind: directories in Hugging Face layout, that every library of that world opens."""

import json
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from keytokens.models.families import FAMILIES
from keytokens.models.parameters import candidates, flatten
from keytokens.pipelines.training.weights import Params, adapted_paths

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
CONFIG_FILES = ("config.json",)
_ROOT = "model."
_METADATA = {"format": "pt"}


def write_config(
    directory: pathlib.Path,
    *,
    vocab_size: int,
    width: int,
    layers: int,
    heads: int,
    max_length: int,
    pad_id: int,
    start_id: int,
) -> None:
    """config.json of a LLaMA with a tied head; its feed-forward layers are 8/3 as wide as the stream (SwiGLU's custom).

    Raises:
      ValueError: heads that do not divide the width.
    """
    if width % heads or width // heads % 2:
        raise ValueError(f"--width={width} must be an even multiple of --heads={heads}: rotary positions turn pairs.")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocab_size,
        "hidden_size": width,
        "intermediate_size": -(-8 * width // 3 // 16) * 16,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": width // heads,
        "hidden_act": "silu",
        "max_position_embeddings": max_length,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": start_id,
        "eos_token_id": None,
        "pad_token_id": pad_id,
        "torch_dtype": "bfloat16",
    }
    _write_json(directory / "config.json", config)


def write_model(directory: pathlib.Path, params: Params) -> None:
    """model.safetensors of a LLaMA, matrices and norms in bfloat16, under the names that transformers gives them."""
    tensors = {_name(path): _bfloat16(leaf) for path, leaf in flatten(params).items()}
    save_file(tensors, directory / "model.safetensors", metadata=_METADATA)


def write_adapter(
    directory: pathlib.Path,
    params: Params,
    lora: Mapping[str, Mapping[str, Any]],
    *,
    base: str,
    rank: int,
    alpha: float,
) -> None:
    """A LoRA adapter as PEFT writes it; `base` is the name or path of the model that it changes."""
    tensors = {}
    for joined, path in adapted_paths(params).items():
        stem = "base_model.model." + _name(path).removesuffix(".weight")
        tensors[f"{stem}.lora_A.weight"] = _bfloat16(lora[joined]["a"])
        tensors[f"{stem}.lora_B.weight"] = _bfloat16(lora[joined]["b"])
    save_file(tensors, directory / "adapter_model.safetensors", metadata=_METADATA)
    modules = sorted({name.split(".")[-3] for name in tensors})
    config = {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "target_modules": modules,
        "inference_mode": True,
    }
    _write_json(directory / "adapter_config.json", config)


def write_pooling(directory: pathlib.Path, *, width: int, pooling: str, max_length: int) -> None:
    """The files by which sentence-transformers knows how token states become a vector."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    _write_json(
        directory / "modules.json",
        [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for number, (path, kind) in enumerate(modules)
        ],
    )
    (directory / "1_Pooling").mkdir(exist_ok=True)
    modes = {f"pooling_mode_{mode}_tokens": mode == pooling for mode in ("mean", "weightedmean")}
    modes["pooling_mode_lasttoken"] = pooling == "lasttoken"
    _write_json(directory / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **modes})
    _write_json(directory / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})


def name_tokenizer_class(directory: pathlib.Path) -> None:
    """Version 5 of transformers writes a class name that version 4 does not know; both know this one."""
    file = directory / "tokenizer_config.json"
    config = json.loads(file.read_text("utf-8"))
    _write_json(file, {**config, "tokenizer_class": "PreTrainedTokenizerFast"})


def copy_files(source: str | pathlib.Path, target: pathlib.Path, names: Sequence[str]) -> None:
    """Copies those of the files that there are."""
    for name in names:
        if (pathlib.Path(source) / name).is_file():
            shutil.copyfile(pathlib.Path(source) / name, target / name)


def _name(path: tuple[str | int, ...]) -> str:
    return _ROOT + candidates(FAMILIES["llama"], ("body", *path))[0]


def _bfloat16(leaf: Any) -> np.ndarray:
    return np.asarray(leaf).astype(ml_dtypes.bfloat16)


def _write_json(file: pathlib.Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=2) + "\n", "utf-8")
