"""A Hugging Face configuration of which every attribute is accounted for: read, ignored by name, or at its default."""

from collections.abc import Iterable, Mapping
from typing import Any

# Attributes that no family's forward pass depends on: training, generation, naming, bookkeeping.
IGNORED_ANYWHERE = frozenset(
    [
        *("_name_or_path", "_attn_implementation", "architectures", "auto_map", "model_type", "tokenizer_class"),
        *("transformers_version", "torch_dtype", "dtype", "torchscript", "finetuning_task", "task_specific_params"),
        *("use_cache", "gradient_checkpointing", "output_attentions", "output_hidden_states", "output_past"),
        *("return_dict", "chunk_size_feed_forward", "problem_type", "id2label", "label2id", "num_labels", "prefix"),
        *("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id", "is_encoder_decoder"),
        *("initializer_range", "initializer_factor", "init_std", "layerdrop", "classifier_dropout", "dropout"),
        *("attention_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout_rate"),
        *("activation_dropout", "resid_dropout", "embed_dropout", "directionality", "pooler_fc_size"),
        *("pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type"),
    ]
)
# Whole numbers of at least 1 and of at least 0, where the configuration has them; None is derived from others.
_SIZES = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "head_dim"),
    *("num_key_value_heads", "max_position_embeddings", "num_heads", "num_layers", "ffn_dim", "word_embed_proj_dim"),
    *("d_model", "d_kv", "d_ff", "relative_attention_num_buckets", "relative_attention_max_distance"),
)
_COUNTS = ("type_vocab_size", "num_decoder_layers", "decoder_start_token_id")
_LEAST = dict.fromkeys(_SIZES, 1) | dict.fromkeys(_COUNTS, 0)


class Attributes:
    """Attribute access to a configuration that remembers what was read.

    Args:
      config: what AutoConfig returned.
    """

    def __init__(self, config: Any):
        self._config = config
        self._read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._read.add(name)
        return getattr(self._config, name)

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute, or the default where the configuration's class has none."""
        self._read.add(name)
        return getattr(self._config, name, default)

    def impossible_sizes(self) -> list[str]:
        """Sizes that no model can have, one line each."""
        given = self._config.to_dict()
        found = {name: given[name] for name in _LEAST.keys() & given.keys() if given[name] is not None}
        return [
            f"{name}={size!r}: must be a whole number of at least {_LEAST[name]}"
            for name, size in sorted(found.items())
            if type(size) is not int or size < _LEAST[name]
        ]

    def problems(self, *, ignored: Iterable[str], fixed: Mapping[str, Any]) -> list[str]:
        """What stands in the configuration and would be overlooked.

        Args:
          ignored: attributes of this family without influence on hidden states, beside those ignored anywhere.
          fixed: attributes implemented for one value only.
        """
        given = self._config.to_dict()
        defaults = type(self._config)().to_dict()
        accounted = self._read | IGNORED_ANYWHERE | set(ignored)
        found = []
        for name in sorted(given.keys() - accounted):
            if name in fixed:
                if given[name] != fixed[name]:
                    found.append(f"{name}={given[name]!r}: only {fixed[name]!r} is implemented")
            elif name not in defaults:
                found.append(f"{name}={given[name]!r}: an attribute that is not known here")
            elif given[name] != defaults[name]:
                found.append(f"{name}={given[name]!r}: only the library's default {defaults[name]!r} is implemented")
        return found
