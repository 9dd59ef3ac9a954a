"""BERT and its kin (MiniLM, DPR, RoBERTa, XLM-R, MPNet): bidirectional, norm after each part, gelu."""

import dataclasses

from keytokens.models.config_attributes import Attributes
from keytokens.models.families.family import Family, Names
from keytokens.models.spec import HeadSpec, LayerSpec, Spec

NAMES: Names = {
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
MPNET_NAMES: Names = dict(NAMES) | {
    "q": "attention.attn.q",
    "k": "attention.attn.k",
    "v": "attention.attn.v",
    "o": "attention.attn.o",
    "attn_norm": "attention.LayerNorm",
    "relative": "encoder.relative_attention_bias",
}
# What masked words are predicted with; the vocabulary itself is the word embedding.
HEAD_NAMES: Names = {
    "dense": "cls.predictions.transform.dense",
    "norm": "cls.predictions.transform.LayerNorm",
    "head": ("cls.predictions", "cls.predictions.decoder"),
}
ROBERTA_HEAD_NAMES: Names = {
    "dense": "lm_head.dense",
    "norm": "lm_head.layer_norm",
    "head": ("lm_head", "lm_head.decoder"),
}


def bert_spec(config: Attributes) -> Spec:
    """The Spec of a BERT configuration, with the head that was trained to predict masked words."""
    head_dim = config.hidden_size // config.num_attention_heads
    return Spec(
        vocab=config.vocab_size,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_attention_heads,
        head_dim=head_dim,
        mlp_width=config.intermediate_size,
        layers=(LayerSpec(),) * config.num_hidden_layers,
        activation=config.hidden_act,
        gated=False,
        norm="layer",
        norm_eps=config.layer_norm_eps,
        order="post",
        biased=frozenset(("q", "k", "v", "o", "up", "down")),
        score_scale=head_dim**-0.5,
        positions=config.max_position_embeddings,
        types=config.get("type_vocab_size", 0),
        embed_norm=True,
        final_norm=False,
        head=HeadSpec(transform=True, bias=True),
    )


def roberta_spec(config: Attributes) -> Spec:
    """RoBERTa and XLM-R are BERT, except that positions are counted from the row after the padding token's."""
    return dataclasses.replace(bert_spec(config), first_position=config.pad_token_id + 1)


def mpnet_spec(config: Attributes) -> Spec:
    """MPNet is RoBERTa with a relative position bias and without token types. Its padding row is always 1."""
    return dataclasses.replace(bert_spec(config), first_position=2, buckets=config.relative_attention_num_buckets)


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
        "projection_dim": 0,
    },
    ignored_tensors=(
        r"embeddings\.(position_ids|token_type_ids)",
        r"pooler\.dense\.(weight|bias)",
        # The projection that SimCSE and PromptBERT train through and leave out afterwards.
        r"mlp\.dense\.(weight|bias)",
        r"cls\.seq_relationship\.(weight|bias)",
    ),
)
DPR = dataclasses.replace(BERT, roots=tuple(f"{role}bert_model." for role in ("question_encoder.", "ctx_encoder.", "")))
ROBERTA = dataclasses.replace(BERT, spec=roberta_spec, head_names=ROBERTA_HEAD_NAMES, roots=("roberta.",))
MPNET = dataclasses.replace(BERT, spec=mpnet_spec, names=MPNET_NAMES, head_names=ROBERTA_HEAD_NAMES, roots=("mpnet.",))
