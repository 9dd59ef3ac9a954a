"""The full-size models have the published numbers of parameters; nothing is allocated."""

import json

import pytest
import transformers

from keytokens.models import configuration
from keytokens.models.abstract import num_parameters

_LLAMA = transformers.LlamaConfig
# Configuration, whether with decoder, and the count of the published checkpoint without what has no place here.
PUBLISHED = {
    "EleutherAI/gpt-neo-1.3B": (transformers.GPTNeoConfig(), 1_315_575_808),
    "facebook/opt-1.3b": (
        transformers.OPTConfig(
            hidden_size=2048,
            num_hidden_layers=24,
            ffn_dim=8192,
            num_attention_heads=32,
            word_embed_proj_dim=2048,
        ),
        1_315_758_080,
    ),
    "huggyllama/llama-7b": (_LLAMA(), 6_738_415_616),
    "mistralai/Mistral-7B-v0.1": (transformers.MistralConfig(), 7_241_732_096),
    "Qwen/Qwen3-8B": (
        transformers.Qwen3Config(
            hidden_size=4096,
            intermediate_size=12288,
            num_hidden_layers=36,
            num_attention_heads=32,
            num_key_value_heads=8,
            head_dim=128,
        ),
        8_190_735_360,
    ),
    "google/gemma-2-2b": (transformers.Gemma2Config(), 2_614_341_888),
    # Without its pooler's 590,592.
    "google-bert/bert-base-uncased": (transformers.BertConfig(), 109_482_240 - 590_592),
    "microsoft/mpnet-base": (transformers.MPNetConfig(max_position_embeddings=514), 109_486_464 - 590_592),
    # Without the decoder's relative bias, 32 buckets of 12 heads.
    "google-t5/t5-base": (
        transformers.T5Config(
            d_model=768, d_ff=3072, num_layers=12, num_heads=12, feed_forward_proj="relu", decoder_start_token_id=0
        ),
        222_903_552 - 32 * 12,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameter_counts_come_out(name, tmp_path):
    config, count = PUBLISHED[name]
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()), "utf-8")
    read = configuration.read_config(tmp_path)
    _, spec = configuration.read_spec(tmp_path, read, decoder=config.model_type == "t5")
    assert num_parameters(spec) == count
