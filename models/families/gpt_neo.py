"""GPT-Neo: learned positions, layer norm before each part, unscaled scores, global and local attention in turn."""

from keytokens.models.config_attributes import Attributes
from keytokens.models.families.family import Family
from keytokens.models.spec import HeadSpec, LayerSpec, Spec

NAMES = {
    "embed": "wte",
    "position": "wpe",
    "attn_norm": "ln_1",
    "q": "attn.attention.q_proj",
    "k": "attn.attention.k_proj",
    "v": "attn.attention.v_proj",
    "o": "attn.attention.out_proj",
    "mlp_norm": "ln_2",
    "up": "mlp.c_fc",
    "down": "mlp.c_proj",
    "norm": "ln_f",
}


def gpt_neo_spec(config: Attributes) -> Spec:
    """The Spec of a GPT-Neo configuration."""
    causal = config.get("is_causal", True)

    def layer(kind: str) -> LayerSpec:
        # A window counts the token itself.
        behind = config.window_size - 1 if kind == "local" else None
        return LayerSpec(behind, 0 if causal else behind)

    return Spec(
        vocab=config.vocab_size,
        width=config.hidden_size,
        heads=config.num_heads,
        kv_heads=config.num_heads,
        head_dim=config.hidden_size // config.num_heads,
        mlp_width=config.intermediate_size or 4 * config.hidden_size,
        layers=tuple(layer(kind) for kind in config.attention_layers[: config.num_layers]),
        activation=config.activation_function,
        gated=False,
        norm="layer",
        norm_eps=config.layer_norm_epsilon,
        biased=frozenset(("o", "up", "down")),
        score_scale=1.0,
        positions=config.max_position_embeddings,
        head=HeadSpec(tied=config.tie_word_embeddings),
    )


GPT_NEO = Family(
    spec=gpt_neo_spec,
    names=NAMES,
    layer="h.{}.",
    roots=("transformer.",),
    causal_attribute=lambda causal: ("is_causal", causal),
    # attention_types is attention_layers, abbreviated; the summary_* attributes are of a classifier.
    ignored_attributes=frozenset(
        [
            *("attention_types", "n_ctx", "summary_type", "summary_use_proj", "summary_activation"),
            *("summary_proj_to_labels", "summary_first_dropout"),
        ]
    ),
    ignored_tensors=(r"h\.\d+\.attn\.attention\.(bias|masked_bias)",),
)
