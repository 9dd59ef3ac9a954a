"""Gemma 2, Gemma 3 (text) and EmbeddingGemma: norms of 1 + w around each part, scaled embeddings, soft-caps."""

from keytokens.models.config_attributes import Attributes
from keytokens.models.families import llama
from keytokens.models.families.family import Family
from keytokens.models.rope import rotary_frequencies
from keytokens.models.spec import HeadSpec, LayerSpec, Spec

NAMES = llama.NAMES | {
    "attn_post": "post_attention_layernorm",
    "mlp_norm": "pre_feedforward_layernorm",
    "mlp_post": "post_feedforward_layernorm",
}


def gemma_spec(config: Attributes) -> Spec:
    """The Spec of a Gemma 2 or Gemma 3 text configuration."""
    third = config.model_type == "gemma3_text"
    kinds = config.layer_types[: config.num_hidden_layers]
    ropes = config.rope_parameters
    # Gemma 3 turns local layers at another pace.
    tables = [ropes["full_attention"], ropes["sliding_attention"]] if third else [ropes]
    return Spec(
        vocab=config.vocab_size,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        mlp_width=config.intermediate_size,
        layers=tuple(_layer(config, local=kind == "sliding_attention", third=third) for kind in kinds),
        activation=config.hidden_activation,
        gated=True,
        norm="rms",
        norm_eps=config.rms_norm_eps,
        norm_offset=1.0,
        order="sandwich",
        biased=frozenset("qkvo" if config.attention_bias else ""),
        qk_norm=third,
        score_scale=config.query_pre_attn_scalar**-0.5,
        score_softcap=config.attn_logit_softcapping,
        ropes=tuple(rotary_frequencies(config.head_dim, table) for table in tables),
        embed_scale=config.hidden_size**0.5,
        head=HeadSpec(tied=config.tie_word_embeddings, softcap=config.final_logit_softcapping),
    )


def _layer(config: Attributes, *, local: bool, third: bool) -> LayerSpec:
    """EmbeddingGemma sees less than `sliding_window` tokens to either side; is_causal=False, that many.

    AutoConfig has already halved EmbeddingGemma's window: 512 in its file is 257 here.
    """
    rope = int(local and third)
    embedding = bool(config.use_bidirectional_attention)
    causal = config.get("is_causal", not embedding)
    window = config.sliding_window
    if not local:
        return LayerSpec(ahead=0 if causal else None, rope=rope)
    if causal:
        return LayerSpec(window - 1, 0, rope)
    reach = window - 1 if embedding else window
    return LayerSpec(reach, reach, rope)


GEMMA = Family(
    spec=gemma_spec,
    names=NAMES,
    layer="layers.{}.",
    roots=("model.",),
    causal_attribute=lambda causal: ("is_causal", causal),
    # Both spellings of the pattern are already in layer_types; caches do not change hidden states.
    ignored_attributes=frozenset(
        [
            *("max_position_embeddings", "_sliding_window_pattern", "sliding_window_pattern", "cache_implementation"),
            # What Gemma 2 says beside hidden_activation, which is the one that counts.
            "hidden_act",
        ]
    ),
    ignored_tensors=(r"rotary_emb\.inv_freq",),
)
