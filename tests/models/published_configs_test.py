"""Configurations with the attributes of the published files, old layouts included, are accounted for."""

import json

import pytest

from keytokens.models import configuration, lora

_OLD = {"transformers_version": "4.35.0", "torch_dtype": "float16", "use_cache": True}
_LLAMA = _OLD | {
    "architectures": ["LlamaForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 96,
    "max_position_embeddings": 4096,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "vocab_size": 100,
}
_BERT = _OLD | {
    "attention_probs_dropout_prob": 0.1,
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 96,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "type_vocab_size": 2,
    "vocab_size": 100,
}
PUBLISHED = {
    "llama-7b": _LLAMA | {"model_type": "llama", "max_sequence_length": 2048, "pad_token_id": 0},
    "llama-2": _LLAMA | {"model_type": "llama", "pretraining_tp": 1, "rope_scaling": None, "rope_theta": 10000.0},
    "llama-3.1": _LLAMA
    | {
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "eos_token_id": [1, 2],
        "rope_theta": 500000.0,
        "rope_scaling": {
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
    },
    "mistral": _LLAMA
    | {"model_type": "mistral", "rope_theta": 10000.0, "sliding_window": 4096, "attention_dropout": 0.0},
    "gritlm": _LLAMA
    | {
        "model_type": "mistral",
        "_name_or_path": "mistralai/Mistral-7B-v0.1",
        "auto_map": {"AutoModel": "modeling_gritlm7b.MistralModel"},
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
        "rope_theta": 10000.0,
        "sliding_window": 4096,
    },
    "gte-qwen2": _LLAMA
    | {
        "model_type": "qwen2",
        "auto_map": {"AutoModel": "modeling_qwen.Qwen2Model"},
        "attention_dropout": 0.0,
        "is_causal": False,
        "max_window_layers": 28,
        "rope_theta": 1000000.0,
        "sliding_window": 131072,
        "use_sliding_window": False,
    },
    "qwen3-embedding": _LLAMA
    | {
        "model_type": "qwen3",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "head_dim": 32,
        "max_window_layers": 28,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": None,
        "use_sliding_window": False,
        "tie_word_embeddings": True,
    },
    "gemma-2": _LLAMA
    | {
        "model_type": "gemma2",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "attn_logit_softcapping": 50.0,
        "cache_implementation": "hybrid",
        "final_logit_softcapping": 30.0,
        "head_dim": 32,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 32,
        "rope_theta": 10000.0,
        "sliding_window": 4096,
        "tie_word_embeddings": True,
    },
    "embeddinggemma": {name: value for name, value in _LLAMA.items() if name != "hidden_act"}
    | {
        "model_type": "gemma3_text",
        "_sliding_window_pattern": 2,
        "attention_bias": False,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "head_dim": 32,
        "hidden_activation": "gelu_pytorch_tanh",
        "layer_types": ["sliding_attention", "full_attention"],
        "query_pre_attn_scalar": 32,
        "rope_local_base_freq": 10000.0,
        "rope_scaling": None,
        "rope_theta": 1000000.0,
        "sliding_window": 512,
        "tie_word_embeddings": True,
        "use_bidirectional_attention": True,
    },
    "gpt-neo": _OLD
    | {
        "model_type": "gpt_neo",
        "activation_function": "gelu_new",
        "attention_dropout": 0,
        "attention_layers": ["global", "local"],
        "attention_types": [[["global", "local"], 1]],
        "bos_token_id": 50256,
        "embed_dropout": 0,
        "eos_token_id": 50256,
        "gradient_checkpointing": False,
        "hidden_size": 64,
        "initializer_range": 0.02,
        "intermediate_size": None,
        "layer_norm_epsilon": 1e-5,
        "max_position_embeddings": 64,
        "num_heads": 4,
        "num_layers": 2,
        "resid_dropout": 0,
        "summary_activation": None,
        "summary_first_dropout": 0.1,
        "summary_proj_to_labels": True,
        "summary_type": "cls_index",
        "summary_use_proj": True,
        "tokenizer_class": "GPT2Tokenizer",
        "vocab_size": 100,
        "window_size": 256,
    },
    "opt": _OLD
    | {
        "model_type": "opt",
        "_remove_final_layer_norm": False,
        "activation_dropout": 0.0,
        "activation_function": "relu",
        "attention_dropout": 0.0,
        "bos_token_id": 2,
        "do_layer_norm_before": True,
        "dropout": 0.1,
        "eos_token_id": 2,
        "ffn_dim": 96,
        "hidden_size": 64,
        "init_std": 0.02,
        "layerdrop": 0.0,
        "max_position_embeddings": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "pad_token_id": 1,
        "prefix": "</s>",
        "vocab_size": 100,
        "word_embed_proj_dim": 64,
    },
    "bert": _BERT | {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
    "dpr": _BERT | {"model_type": "dpr", "projection_dim": 0},
    "xlm-roberta": _BERT | {"model_type": "xlm-roberta", "output_past": True, "pad_token_id": 1, "type_vocab_size": 1},
    "mpnet": {
        name: value for name, value in _BERT.items() if name not in ("type_vocab_size", "position_embedding_type")
    }
    | {"model_type": "mpnet", "pad_token_id": 1, "relative_attention_num_buckets": 32},
    "t5-1.0": _OLD
    | {
        "model_type": "t5",
        "d_ff": 96,
        "d_kv": 16,
        "d_model": 64,
        "decoder_start_token_id": 0,
        "dropout_rate": 0.1,
        "eos_token_id": 1,
        "initializer_factor": 1.0,
        "is_encoder_decoder": True,
        "layer_norm_epsilon": 1e-6,
        "n_positions": 512,
        "num_heads": 4,
        "num_layers": 2,
        "output_past": True,
        "pad_token_id": 0,
        "relative_attention_num_buckets": 32,
        "task_specific_params": {"summarization": {"prefix": "summarize: "}},
        "vocab_size": 100,
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_attribute_is_accounted_for(name, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED[name]), "utf-8")
    asked = "bidirectional" if "auto_map" in PUBLISHED[name] else "checkpoint"
    config = configuration.read_config(tmp_path)
    _, spec = configuration.read_spec(tmp_path, config, attention=asked)
    if name == "embeddinggemma":
        # 512 in the file is 512 // 2 + 1 = 257, exclusive, on either side; and every other layer is global.
        assert [(layer.behind, layer.ahead) for layer in spec.layers] == [(256, 256), (None, None)]
        assert [layer.rope for layer in spec.layers] == [1, 0]
    if name in ("gritlm", "gte-qwen2"):
        assert all(layer.ahead != 0 for layer in spec.layers)
    if name == "gpt-neo":
        assert [(layer.behind, layer.ahead) for layer in spec.layers] == [(None, 0), (255, 0)]


def test_t5_that_does_not_tie_is_read_from_what_transformers_leaves_of_it(tmp_path):
    for tied in (True, False):
        written = PUBLISHED["t5-1.0"] | {"tie_word_embeddings": tied, "feed_forward_proj": "gated-gelu"}
        (tmp_path / "config.json").write_text(json.dumps(written), "utf-8")
        _, spec = configuration.read_spec(tmp_path, configuration.read_config(tmp_path))
        assert spec.head.tied == tied
        assert spec.head.scale == (64**-0.5 if tied else 1.0)


@pytest.mark.parametrize(
    "adapter",
    [
        # PEFT 0.2, of PromptEOL; PEFT 0.10, of LLM2Vec; and today's.
        {"enable_lora": None, "merge_weights": False, "lora_dropout": 0.05, "target_modules": ["q_proj", "v_proj"]},
        {
            "alpha_pattern": {},
            "auto_mapping": {"base_model_class": "MistralBiModel"},
            "layers_pattern": None,
            "layers_to_transform": None,
            "loftq_config": {},
            "megatron_config": None,
            "megatron_core": "megatron.core",
            "rank_pattern": {},
            "revision": None,
            "use_dora": False,
            "use_rslora": False,
        },
        {
            "alora_invocation_tokens": None,
            "arrow_config": None,
            "corda_config": None,
            "ensure_weight_tying": False,
            "eva_config": None,
            "exclude_modules": None,
            "layer_replication": None,
            "lora_bias": False,
            "peft_version": "0.18.0",
            "qalora_group_size": 16,
            "target_parameters": None,
            "trainable_token_indices": None,
            "use_qalora": False,
        },
    ],
)
def test_every_attribute_of_an_adapter_is_accounted_for(adapter, tmp_path):
    common = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", "fan_in_fan_out": False}
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(common | {"modules_to_save": None, "task_type": "CAUSAL_LM"} | adapter), "utf-8")
    assert lora.read_adapter_config(tmp_path)["r"] == 4
