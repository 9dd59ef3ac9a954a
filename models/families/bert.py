"""BERT, MiniLM and their kin: bidirectional, learned positions, norm after each part, gelu."""

from keytokens.models.config_attributes import Attributes
from keytokens.models.families.family import Family
from keytokens.models.spec import HeadSpec, LayerSpec, Spec

ALL_BIASED = frozenset(("q", "k", "v", "o", "gate", "up", "down"))

NAMES = {
    "embed": "embeddings.word_embeddings",
    "position": "embeddings.position_embeddings",
    "type": "embeddings.token_type_embeddings",
    "embed_norm": "embeddings.LayerNorm",
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "o": "attention.output.dense",
    "attn_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "mlp_norm": "output.LayerNorm",
}
HEAD_NAMES: dict[str, str | tuple[str, ...]] = {
    "dense": "cls.predictions.transform.dense",
    "norm": "cls.predictions.transform.LayerNorm",
    "head": ("cls.predictions", "cls.predictions.decoder"),
}


def bert_spec(config: Attributes) -> Spec:
    """The Spec of a BERT configuration, with the head that was trained to predict masked tokens."""
    return Spec(
        vocab=config.vocab_size,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_attention_heads,
        head_dim=config.hidden_size // config.num_attention_heads,
        mlp_width=config.intermediate_size,
        layers=(LayerSpec(),) * config.num_hidden_layers,
        activation=config.hidden_act,
        gated=False,
        norm="layer",
        norm_eps=config.layer_norm_eps,
        order="post",
        biased=ALL_BIASED,
        score_scale=(config.hidden_size // config.num_attention_heads) ** -0.5,
        positions=config.max_position_embeddings,
        types=config.type_vocab_size,
        embed_norm=True,
        final_norm=False,
        head=HeadSpec(transform=True, bias=True),
    )


BERT = Family(
    spec=bert_spec,
    names=NAMES,
    head_names=HEAD_NAMES,
    layer="encoder.layer.{}.",
    roots=("bert.",),
    fixed_attributes={
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
        "tie_word_embeddings": True,
        "pruned_heads": {},
    },
    ignored_tensors=(
        r"embeddings\.position_ids",
        r"pooler\.dense\.(weight|bias)",
        r"cls\.seq_relationship\.(weight|bias)",
    ),
)
