"""The configurations on which our transformer is compared with transformers' modules."""

import dataclasses
from typing import Any

VOCAB, NUM_TOKENS = 99, 20
# Tokens of the four texts; windows are 5 and less.
LENGTHS = (20, 13, 7, 2)


@dataclasses.dataclass(frozen=True)
class Case:
    config: dict[str, Any]
    attention: str = "checkpoint"


_SIZES = {"vocab_size": VOCAB, "hidden_size": 32, "max_position_embeddings": 64}
_LLAMA = _SIZES | {
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
_BERT = _SIZES | {"intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
_GEMMA = _LLAMA | {"num_hidden_layers": 7, "head_dim": 16, "sliding_window": 5, "query_pre_attn_scalar": 12}
_OPT = _SIZES | {"model_type": "opt", "ffn_dim": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
_T5 = {
    "model_type": "t5",
    "vocab_size": VOCAB,
    "d_model": 32,
    "d_ff": 48,
    "d_kv": 16,
    "num_layers": 3,
    "num_heads": 4,
    "decoder_start_token_id": 0,
    # Seen at 20 tokens.
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
}
_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}

_CONFIGS: dict[str, dict[str, Any]] = {
    "llama": _LLAMA | {"model_type": "llama", "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
    # The layout of files from before transformers 5, and multi-query attention.
    "llama_old_rope": _LLAMA
    | {
        "model_type": "llama",
        "num_key_value_heads": 1,
        "rope_theta": 5000.0,
        "rope_scaling": _LLAMA3_ROPE,
        "tie_word_embeddings": True,
        "attention_bias": True,
        "mlp_bias": True,
    },
    "llama_linear_rope": _LLAMA
    | {
        "model_type": "llama",
        "num_key_value_heads": 4,
        "rope_theta": 10000.0,
        "rope_scaling": {"type": "linear", "factor": 4.0},
    },
    "mistral": _LLAMA | {"model_type": "mistral", "head_dim": 16, "sliding_window": 5},
    "mistral_no_window": _LLAMA | {"model_type": "mistral", "sliding_window": None},
    "qwen2": _LLAMA | {"model_type": "qwen2"},
    "qwen2_window": _LLAMA
    | {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    "qwen3": _LLAMA | {"model_type": "qwen3", "head_dim": 16, "tie_word_embeddings": True},
    "gemma2": _GEMMA | {"model_type": "gemma2", "num_hidden_layers": 4},
    "gemma3": _GEMMA | {"model_type": "gemma3_text"},
    # Seven layers: the sixth is global. As EmbeddingGemma's file says it: a window of 8 means less than 8 // 2 + 1.
    "embeddinggemma": _GEMMA | {"model_type": "gemma3_text", "sliding_window": 8, "use_bidirectional_attention": True},
    "gpt_neo": _SIZES
    | {
        "model_type": "gpt_neo",
        "num_layers": 4,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 2]],
        "window_size": 5,
    },
    "opt": _OPT | {"word_embed_proj_dim": 32},
    "opt_350m": _OPT | {"word_embed_proj_dim": 16, "do_layer_norm_before": False},
    "bert": _BERT | {"model_type": "bert"},
    "mpnet": _BERT | {"model_type": "mpnet"},
    "roberta": _BERT | {"model_type": "roberta", "pad_token_id": 1, "type_vocab_size": 1},
    "xlm_roberta": _BERT | {"model_type": "xlm-roberta", "pad_token_id": 1, "type_vocab_size": 1},
    "t5": _T5 | {"feed_forward_proj": "relu"},
    "t5_gated": _T5 | {"feed_forward_proj": "gated-gelu", "num_decoder_layers": 2},
}
_ALWAYS_BIDIRECTIONAL = {"bert", "mpnet", "roberta", "xlm-roberta", "t5"}

CASES = {name: Case(config) for name, config in _CONFIGS.items()} | {
    f"{name}_bidirectional": Case(config, "bidirectional")
    for name, config in _CONFIGS.items()
    if config["model_type"] not in _ALWAYS_BIDIRECTIONAL and not config.get("use_bidirectional_attention")
}
