"""T5's encoder, and its decoder's first step: relative position bias, RMS norm, unscaled scores."""

from keytokens.models.config_attributes import Attributes
from keytokens.models.families.family import Family, Names
from keytokens.models.spec import HeadSpec, LayerSpec, Spec

NAMES: Names = {
    "embed": ("shared", "encoder.embed_tokens"),
    "relative": "encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
    "attn_norm": "layer.0.layer_norm",
    "q": "layer.0.SelfAttention.q",
    "k": "layer.0.SelfAttention.k",
    "v": "layer.0.SelfAttention.v",
    "o": "layer.0.SelfAttention.o",
    "mlp_norm": "layer.1.layer_norm",
    "gate": "layer.1.DenseReluDense.wi_0",
    "up": ("layer.1.DenseReluDense.wi_1", "layer.1.DenseReluDense.wi"),
    "down": "layer.1.DenseReluDense.wo",
    "norm": "encoder.final_layer_norm",
}
DECODER_NAMES: Names = {
    "attn_norm": "layer.0.layer_norm",
    "attn.q": "layer.0.SelfAttention.q",
    "attn.k": "layer.0.SelfAttention.k",
    "attn.v": "layer.0.SelfAttention.v",
    "attn.o": "layer.0.SelfAttention.o",
    "cross_norm": "layer.1.layer_norm",
    "cross.q": "layer.1.EncDecAttention.q",
    "cross.k": "layer.1.EncDecAttention.k",
    "cross.v": "layer.1.EncDecAttention.v",
    "cross.o": "layer.1.EncDecAttention.o",
    "mlp_norm": "layer.2.layer_norm",
    "mlp.gate": "layer.2.DenseReluDense.wi_0",
    "mlp.up": ("layer.2.DenseReluDense.wi_1", "layer.2.DenseReluDense.wi"),
    "mlp.down": "layer.2.DenseReluDense.wo",
    "norm": "decoder.final_layer_norm",
}


def t5_spec(config: Attributes) -> Spec:
    """The Spec of a T5 configuration.

    Version 1.0 ties the head to the word embeddings and scales its logits, 1.1 does neither. transformers 5 says
    tie_word_embeddings=True of both; what the file said is left in scale_decoder_outputs.
    """
    tied = config.scale_decoder_outputs
    return Spec(
        vocab=config.vocab_size,
        width=config.d_model,
        heads=config.num_heads,
        kv_heads=config.num_heads,
        head_dim=config.d_kv,
        mlp_width=config.d_ff,
        layers=(LayerSpec(),) * config.num_layers,
        activation=config.dense_act_fn,
        gated=config.is_gated_act,
        norm="rms",
        norm_eps=config.layer_norm_epsilon,
        score_scale=1.0,
        buckets=config.relative_attention_num_buckets,
        bucket_reach=config.relative_attention_max_distance,
        decoder_layers=config.num_decoder_layers,
        start_id=config.get("decoder_start_token_id") or 0,
        head=HeadSpec(tied=tied, scale=config.d_model**-0.5 if tied else 1.0),
    )


T5 = Family(
    spec=t5_spec,
    names=NAMES,
    layer="encoder.block.{}.",
    roots=(),
    decoder_names=DECODER_NAMES,
    decoder_layer="decoder.block.{}.",
    ignored_attributes=frozenset(["feed_forward_proj", "n_positions", "tie_word_embeddings"]),
    fixed_attributes={"is_decoder": False},
    # Copies of `shared`; a bias for one token alone, which its softmax undoes; and the decoder, where only the encoder
    # is wanted.
    ignored_tensors=(
        r"(encoder|decoder)\.embed_tokens\.weight",
        r"decoder\.block\.0\.layer\.\d\.\w+\.relative_attention_bias\.weight",
        r"decoder\.(block\.\d+\.layer\.\d\..*|final_layer_norm\.weight)",
    ),
)
