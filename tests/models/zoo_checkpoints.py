"""A tiny checkpoint for every hub id that the registry names, in that checkpoint's own layout.

Needs neither jax nor torch: the golden file's maker builds the same ones.
"""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

try:
    from tests.models import tiny, torch_files
    from tests.models.parity_cases import CASES, VOCAB
except ImportError:  # the maker runs where `tests` is no package
    import tiny
    import torch_files
    from parity_cases import CASES, VOCAB

# Prompts are as long as the real ones.
MORE_POSITIONS = 192
DATA = Path(__file__).parents[1] / "testdata" / "models"
SPECIALS = {
    "bert": {
        "tokenizer_class": "BertTokenizer",
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    },
    "mpnet": {
        "tokenizer_class": "MPNetTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "cls_token": "<s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
    },
    "gpt2": {
        "tokenizer_class": "GPT2Tokenizer",
        **dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), "<|endoftext|>"),
    },
    "opt": {
        "tokenizer_class": "GPT2Tokenizer",
        "add_bos_token": True,
        "bos_token": "</s>",
        "eos_token": "</s>",
        "unk_token": "</s>",
        "pad_token": "<pad>",
    },
    "qwen": {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "bos_token": None,
        "unk_token": None,
    },
    "llama": {
        "tokenizer_class": "LlamaTokenizer",
        "add_bos_token": True,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    },
    "gemma": {
        "tokenizer_class": "GemmaTokenizer",
        "add_eos_token": True,
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
    },
    "t5": {"tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
    "xlm_roberta": {
        "tokenizer_class": "XLMRobertaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "cls_token": "<s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
    },
}
SPECIALS["qwen_embedding"] = SPECIALS["qwen"]


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one hub id's files look.

    Attributes:
      case: whose configuration and tensors, of parity_cases.
      tokenizer: of testdata/models/tokenizers.
      root: prefix of the tensors' names, where the checkpoint has another than the case's.
      strip: prefix of the case's names that the checkpoint has not.
      drop: prefixes of tensors that the checkpoint has not.
      num_shards: of the weights.
      pooling: of the sentence-transformers files; "" where the checkpoint has none.
      normalize: whether they end with Normalize.
      num_dense: Dense modules after pooling.
      prompts: in config_sentence_transformers.json.
      config: further or other attributes.
    """

    case: str
    tokenizer: str
    root: str = ""
    strip: str = ""
    drop: tuple[str, ...] = ()
    num_shards: int = 1
    pooling: str = ""
    normalize: bool = False
    num_dense: int = 0
    prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_BERT_BASE = {"strip": "bert.", "drop": ("cls.",)}
_MISTRAL_BASE = {"strip": "model.", "drop": ("lm_head.",)}
_QWEN3 = {
    "case": "qwen3",
    "tokenizer": "qwen_embedding",
    "strip": "model.",
    "pooling": "lasttoken",
    "normalize": True,
    "prompts": {
        "query": "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:",
        "document": "",
    },
}
LAYOUTS: dict[str, Layout] = {
    "sentence-transformers/all-MiniLM-L6-v2": Layout("bert", "bert", **_BERT_BASE, pooling="mean", normalize=True),
    "EleutherAI/gpt-neo-1.3B": Layout("gpt_neo", "gpt2"),
    "Muennighoff/SGPT-1.3B-weightedmean-nli": Layout("gpt_neo", "gpt2", strip="transformer.", pooling="weightedmean"),
    "Muennighoff/SGPT-1.3B-weightedmean-msmarco-specb-bitfit": Layout(
        "gpt_neo", "gpt2", strip="transformer.", pooling="weightedmean"
    ),
    # As the original pytorch_model.bin has it.
    "facebook/opt-1.3b": Layout("opt", "opt", strip="model."),
    "huggyllama/llama-7b": Layout("llama", "llama", num_shards=2),
    "meta-llama/Llama-2-7b-hf": Layout("llama", "llama", config={"rope_theta": 10000.0, "pretraining_tp": 1}),
    "mistralai/Mistral-7B-v0.1": Layout("mistral", "llama", num_shards=3),
    "mistralai/Mistral-7B-Instruct-v0.2": Layout("mistral_no_window", "llama", num_shards=2),
    "GritLM/GritLM-7B": Layout(
        "mistral_no_window", "llama", config={"auto_map": {"AutoModel": "modeling_gritlm7b.MistralModel"}}
    ),
    "intfloat/e5-mistral-7b-instruct": Layout(
        "mistral", "llama", **_MISTRAL_BASE, num_shards=2, pooling="lasttoken", normalize=True
    ),
    "google-bert/bert-base-uncased": Layout("bert", "bert"),
    "royokong/sup-PromptBERT": Layout("bert", "bert", drop=("cls.",)),
    "royokong/unsup-PromptBERT": Layout("bert", "bert", drop=("cls.",)),
    "princeton-nlp/sup-simcse-bert-base-uncased": Layout("bert", "bert", **_BERT_BASE),
    "facebook/contriever": Layout("bert", "bert", **_BERT_BASE),
    "facebook/dpr-question_encoder-single-nq-base": Layout(
        "bert",
        "bert",
        **_BERT_BASE,
        root="question_encoder.bert_model.",
        config={"model_type": "dpr", "projection_dim": 0},
    ),
    "facebook/dpr-ctx_encoder-single-nq-base": Layout(
        "bert", "bert", **_BERT_BASE, root="ctx_encoder.bert_model.", config={"model_type": "dpr", "projection_dim": 0}
    ),
    "tau/spider": Layout(
        "bert", "bert", **_BERT_BASE, root="ctx_encoder.bert_model.", config={"model_type": "dpr", "projection_dim": 0}
    ),
    "thenlper/gte-base": Layout("bert", "bert", **_BERT_BASE, pooling="mean", normalize=True),
    "intfloat/e5-base-v2": Layout("bert", "bert", **_BERT_BASE, pooling="mean", normalize=True),
    "microsoft/mpnet-base": Layout("mpnet", "mpnet"),
    "sentence-transformers/all-mpnet-base-v2": Layout(
        "mpnet", "mpnet", strip="mpnet.", drop=("lm_head.",), pooling="mean", normalize=True
    ),
    "google-t5/t5-base": Layout("t5", "t5"),
    "sentence-transformers/sentence-t5-base": Layout(
        "t5", "t5", drop=("decoder.", "lm_head."), pooling="mean", num_dense=1, normalize=True
    ),
    "Alibaba-NLP/gte-Qwen2-7B-instruct": Layout(
        "qwen2",
        "qwen",
        pooling="lasttoken",
        normalize=True,
        prompts={
            "query": "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
        },
        config={"auto_map": {"AutoModel": "modeling_qwen.Qwen2Model"}},
    ),
    "Qwen/Qwen3-Embedding-0.6B": Layout(**_QWEN3),
    "Qwen/Qwen3-Embedding-4B": Layout(**_QWEN3, num_shards=2),
    "Qwen/Qwen3-Embedding-8B": Layout(**_QWEN3, config={"tie_word_embeddings": False}),
    "Qwen/Qwen3-8B-Base": Layout("qwen3", "qwen"),
    "google/embeddinggemma-300m": Layout(
        "embeddinggemma",
        "gemma",
        strip="model.",
        pooling="mean",
        num_dense=2,
        normalize=True,
        prompts={"query": "task: search result | query: ", "document": "title: none | text: "},
    ),
    "BAAI/bge-en-icl": Layout("mistral", "llama", **_MISTRAL_BASE, pooling="lasttoken", normalize=True),
    "FacebookAI/xlm-roberta-large": Layout("xlm_roberta", "xlm_roberta"),
    "intfloat/multilingual-e5-large-instruct": Layout(
        "xlm_roberta", "xlm_roberta", strip="roberta.", drop=("lm_head.",), pooling="mean", normalize=True
    ),
}
# Adapter -> the checkpoint that it was trained over, the prefix of PEFT's names, and its configuration.
_Q_V = ("q_proj", "v_proj")
ADAPTERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "royokong/prompteol-opt-1.3b": ("facebook/opt-1.3b", "base_model.model.model.decoder.", {"r": 4, "lora_alpha": 16}),
    "royokong/prompteol-llama-7b": ("huggyllama/llama-7b", "base_model.model.model.", {"r": 4, "lora_alpha": 16}),
    "McGill-NLP/LLM2Vec-Mistral-7B-Instruct-v2-mntp": (
        "mistralai/Mistral-7B-Instruct-v0.2",
        "base_model.model.",
        {"r": 4, "lora_alpha": 8},
    ),
    "McGill-NLP/LLM2Vec-Mistral-7B-Instruct-v2-mntp-unsup-simcse": (
        "mistralai/Mistral-7B-Instruct-v0.2",
        "base_model.model.",
        {"r": 4, "lora_alpha": 8, "use_rslora": True},
    ),
    "McGill-NLP/LLM2Vec-Mistral-7B-Instruct-v2-mntp-supervised": (
        "mistralai/Mistral-7B-Instruct-v0.2",
        "base_model.model.",
        {"r": 4, "lora_alpha": 8},
    ),
}


# Whose weights are on the hub as torch.save wrote them, and not, or not first, as safetensors.
TORCH_FILES = {
    "Muennighoff/SGPT-1.3B-weightedmean-nli",
    "Muennighoff/SGPT-1.3B-weightedmean-msmarco-specb-bitfit",
    "facebook/opt-1.3b",
    "royokong/prompteol-opt-1.3b",
    "royokong/prompteol-llama-7b",
    "royokong/sup-PromptBERT",
    "royokong/unsup-PromptBERT",
    "facebook/contriever",
    "facebook/dpr-question_encoder-single-nq-base",
    "facebook/dpr-ctx_encoder-single-nq-base",
    "tau/spider",
}


def case_shapes(case: str) -> dict[str, list[int]]:
    with np.load(DATA / "parity" / f"{case}.npz") as file:
        return json.loads(file["meta"].tobytes())["shapes"]


def vocab_size(tokenizer: str) -> int:
    model = json.loads((DATA / "tokenizers" / f"{tokenizer}.json").read_text("utf-8"))["model"]
    return len(model["vocab"])


def tensors_of(hub_id: str) -> dict[str, np.ndarray]:
    """Every weight from the hub id and its name; shapes are the case's, with this vocabulary."""
    layout = LAYOUTS[hub_id]
    config = CASES[layout.case].config
    rows = vocab_size(layout.tokenizer)
    centred = config["model_type"].startswith("gemma")
    tensors = {}
    for name, shape in case_shapes(layout.case).items():
        if name.startswith(layout.drop or ("\0",)):
            continue
        sizes = tuple(rows if size == VOCAB else size for size in shape)
        if "position" in name or name.endswith("wpe.weight"):
            sizes = (sizes[0] + MORE_POSITIONS, sizes[1])
        values = tiny.tensor_values(f"{hub_id}/{name}", sizes, centred_norms=centred, kind=name)
        tensors[layout.root + name.removeprefix(layout.strip)] = values
    return tensors


def build(shelf: Path, hub_id: str) -> Path:
    """Writes the checkpoint to shelf/OWNER/NAME."""
    directory = shelf / hub_id
    if directory.is_dir():
        return directory
    if hub_id in ADAPTERS:
        return _build_adapter(directory, hub_id)
    layout = LAYOUTS[hub_id]
    config = CASES[layout.case].config | {"vocab_size": vocab_size(layout.tokenizer)} | dict(layout.config)
    if "max_position_embeddings" in config:
        config["max_position_embeddings"] += MORE_POSITIONS
    tiny.write_checkpoint(directory, config, tensors_of(hub_id), num_shards=layout.num_shards)
    if hub_id in TORCH_FILES:
        (directory / "model.safetensors").unlink()
        torch_files.write_torch_bin(directory / "pytorch_model.bin", tensors_of(hub_id))
    _write_tokenizer(directory, layout.tokenizer)
    if layout.pooling:
        _write_sentence_transformers(directory, layout)
    return directory


def _write_tokenizer(directory: Path, name: str) -> None:
    shutil.copy(DATA / "tokenizers" / f"{name}.json", directory / "tokenizer.json")
    settings = {key: value for key, value in SPECIALS[name].items() if value is not None}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": 250}), "utf-8")


def _write_sentence_transformers(directory: Path, layout: Layout) -> None:
    kinds = ["Transformer", "Pooling", *["Dense"] * layout.num_dense, *["Normalize"] * layout.normalize]
    modules = []
    for number, kind in enumerate(kinds):
        path = f"{number}_{kind}" if number else ""
        modules.append(
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        )
        if path:
            (directory / path).mkdir()
    (directory / "modules.json").write_text(json.dumps(modules), "utf-8")
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    pooling: dict[str, Any] = {f"pooling_mode_{mode}": mode == _MODES[layout.pooling] for mode in modes}
    (directory / "1_Pooling" / "config.json").write_text(
        json.dumps(pooling | {"word_embedding_dimension": 32, "include_prompt": True}), "utf-8"
    )
    (directory / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": 250, "do_lower_case": False}), "utf-8"
    )
    (directory / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": dict(layout.prompts), "default_prompt_name": None, "similarity_fn_name": "cosine"}),
        "utf-8",
    )
    # Dense weights are there, as in the real ones, and must not be read.
    for number, kind in enumerate(kinds):
        if kind == "Dense":
            (directory / f"{number}_Dense" / "model.safetensors").write_bytes(b"not read")


_MODES = {"mean": "mean_tokens", "weightedmean": "weightedmean_tokens", "lasttoken": "lasttoken"}


def _build_adapter(directory: Path, hub_id: str) -> Path:
    base, prefix, settings = ADAPTERS[hub_id]
    directory.mkdir(parents=True)
    config = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "lora_dropout": 0.05,
        "modules_to_save": None,
        "target_modules": list(_Q_V),
        **settings,
    }
    (directory / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    halves = {}
    rank = settings["r"]
    for name, value in tensors_of(base).items():
        if not name.endswith(tuple(f"{part}.weight" for part in _Q_V)):
            continue
        short = name[name.index("layers.") :].removesuffix(".weight")
        for half, shape in (("A", (rank, value.shape[1])), ("B", (value.shape[0], rank))):
            key = f"{prefix}{short}.lora_{half}.weight"
            halves[key] = tiny.tensor_values(f"{hub_id}/{key}", shape, centred_norms=False)
    if hub_id in TORCH_FILES:
        torch_files.write_torch_bin(directory / "adapter_model.bin", halves)
    else:
        tiny.write_tensors(directory / "adapter_model.safetensors", halves)
    return directory
