"""LLaMA, Mistral, Qwen2 and Qwen3: RMS norm before each part, rotary positions, grouped queries, SwiGLU."""

from keytokens.models.config_attributes import Attributes
from keytokens.models.families.family import Family
from keytokens.models.rope import rotary_frequencies
from keytokens.models.spec import HeadSpec, LayerSpec, Spec

NAMES = {
    "embed": "embed_tokens",
    "attn_norm": "input_layernorm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "q_norm": "self_attn.q_norm",
    "k_norm": "self_attn.k_norm",
    "mlp_norm": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
    "norm": "norm",
}


def llama_spec(config: Attributes) -> Spec:
    """The Spec of a LLaMA, Mistral, Qwen2 or Qwen3 configuration."""
    heads = config.num_attention_heads
    head_dim = config.get("head_dim") or config.hidden_size // heads
    biased = {"qwen2": "qkv"}.get(config.model_type, "qkvo" if config.get("attention_bias") else "")
    mlp_biased = ("gate", "up", "down") if config.get("mlp_bias") else ()
    causal = config.get("is_causal", True)
    return Spec(
        vocab=config.vocab_size,
        width=config.hidden_size,
        heads=heads,
        kv_heads=config.num_key_value_heads,
        head_dim=head_dim,
        mlp_width=config.intermediate_size,
        layers=tuple(_layer(window, causal=causal) for window in _windows(config)),
        activation=config.hidden_act,
        gated=True,
        norm="rms",
        norm_eps=config.rms_norm_eps,
        biased=frozenset([*biased, *mlp_biased]),
        qk_norm=config.model_type == "qwen3",
        score_scale=head_dim**-0.5,
        ropes=(rotary_frequencies(head_dim, config.rope_parameters),),
        head=HeadSpec(tied=config.tie_word_embeddings),
    )


def _windows(config: Attributes) -> list[int | None]:
    window = config.get("sliding_window")
    depth = config.num_hidden_layers
    kinds = (config.get("layer_types") or ["sliding_attention"] * depth)[:depth]
    return [window if kind == "sliding_attention" else None for kind in kinds]


def _layer(window: int | None, *, causal: bool) -> LayerSpec:
    """A window counts the token itself if causal; a bidirectional one reaches `window` tokens to either side."""
    if window is None:
        return LayerSpec(ahead=0 if causal else None, rope=0)
    return LayerSpec(behind=window - 1, ahead=0, rope=0) if causal else LayerSpec(window, window, rope=0)


LLAMA = Family(
    spec=llama_spec,
    names=NAMES,
    layer="layers.{}.",
    roots=("model.",),
    causal_attribute=lambda causal: ("is_causal", causal),
    # The Qwen window attributes are already in layer_types; pretraining_tp split matrices without changing products.
    ignored_attributes=frozenset(
        ["max_position_embeddings", "pretraining_tp", "use_sliding_window", "max_window_layers", "max_sequence_length"]
    ),
    ignored_tensors=(r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq", r"rotary_emb\.inv_freq"),
)
