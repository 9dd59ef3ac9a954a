"""OPT: learned positions from row 2, relu; the 350m one norms after each part and embeds in fewer dimensions."""

from keytokens.models.config_attributes import Attributes
from keytokens.models.families.family import Family
from keytokens.models.spec import HeadSpec, LayerSpec, Spec

# Rows of the position table before a text's first token.
_FIRST_POSITION = 2

NAMES = {
    "embed": "embed_tokens",
    "lift": "project_in",
    "position": "embed_positions",
    "attn_norm": "self_attn_layer_norm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.out_proj",
    "mlp_norm": "final_layer_norm",
    "up": "fc1",
    "down": "fc2",
    "norm": "final_layer_norm",
    "drop": "project_out",
}


def opt_spec(config: Attributes) -> Spec:
    """The Spec of an OPT configuration."""
    head_dim = config.hidden_size // config.num_attention_heads
    return Spec(
        vocab=config.vocab_size,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_attention_heads,
        head_dim=head_dim,
        mlp_width=config.ffn_dim,
        layers=(LayerSpec(ahead=0 if config.get("is_causal", True) else None),) * config.num_hidden_layers,
        activation=config.activation_function,
        gated=False,
        norm="layer",
        norm_eps=1e-5,
        order="pre" if config.do_layer_norm_before else "post",
        biased=frozenset(("q", "k", "v", "o", "up", "down") if config.enable_bias else ()),
        score_scale=head_dim**-0.5,
        positions=config.max_position_embeddings + _FIRST_POSITION,
        first_position=_FIRST_POSITION,
        embed_width=config.word_embed_proj_dim,
        final_norm=config.do_layer_norm_before and not config.get("_remove_final_layer_norm"),
        head=HeadSpec(tied=config.tie_word_embeddings),
    )


OPT = Family(
    spec=opt_spec,
    names=NAMES,
    layer="layers.{}.",
    roots=("model.decoder.", "decoder."),
    causal_attribute=lambda causal: ("is_causal", causal),
    fixed_attributes={"layer_norm_elementwise_affine": True},
)
