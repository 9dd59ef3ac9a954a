"""A BERT of a few thousand random parameters in Hugging Face and sentence-transformers layout, made from a seed."""

import json
import pathlib

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_TEXT = """the a of and in to is wing flow air heat boundary layer shock wave speed number pressure plate jet body cone
cylinder supersonic laminar turbulent transfer theory solution equation experimental investigation results"""
WORDS = _TEXT.split()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?()-'\"/"
VOCABULARY = [*SPECIAL, *WORDS, *(c for c in LETTERS if c not in WORDS), *(f"##{c}" for c in LETTERS if c.isalnum())]
CONFIG = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "vocab_size": len(VOCABULARY),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "hidden_act": "gelu",
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}


def write_tiny_bert(directory: pathlib.Path, *, seed: int = 0, max_length: int = 48) -> pathlib.Path:
    """Writes the checkpoint and returns its directory. Different seeds are different models with one tokenizer."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(CONFIG))
    save_file(_weights(np.random.default_rng(seed)), directory / "model.safetensors", metadata={"format": "pt"})
    _tokenizer().save_pretrained(directory)
    (directory / "modules.json").write_text(
        json.dumps(
            [
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            ]
        )
    )
    (directory / "1_Pooling").mkdir(exist_ok=True)
    (directory / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": CONFIG["hidden_size"], "pooling_mode_mean_tokens": True})
    )
    (directory / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": max_length}))
    return directory


def write_masked_language_model(directory: pathlib.Path) -> pathlib.Path:
    """A tiny BERT with its pretraining head: a transform before the vocabulary, and a bias."""
    write_tiny_bert(directory)
    rng = np.random.default_rng(0)
    weights = {f"bert.{name}": value for name, value in load_file(directory / "model.safetensors").items()}
    width, vocabulary = CONFIG["hidden_size"], CONFIG["vocab_size"]
    for name, shape in {
        "transform.dense.weight": (width, width),
        "transform.dense.bias": (width,),
        "transform.LayerNorm.weight": (width,),
        "transform.LayerNorm.bias": (width,),
        "bias": (vocabulary,),
    }.items():
        weights[f"cls.predictions.{name}"] = rng.normal(size=shape).astype(np.float32)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def _weights(rng: np.random.Generator) -> dict[str, np.ndarray]:
    width, hidden = CONFIG["hidden_size"], CONFIG["intermediate_size"]

    def matrix(*shape):
        return rng.normal(0, 0.3, shape).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": matrix(CONFIG["vocab_size"], width),
        "embeddings.position_embeddings.weight": matrix(CONFIG["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": matrix(CONFIG["type_vocab_size"], width),
        "embeddings.LayerNorm.weight": 1 + matrix(width),
        "embeddings.LayerNorm.bias": matrix(width),
    }
    for layer in range(CONFIG["num_hidden_layers"]):
        sizes = {
            "attention.self.query": (width, width),
            "attention.self.key": (width, width),
            "attention.self.value": (width, width),
            "attention.output.dense": (width, width),
            "intermediate.dense": (hidden, width),
            "output.dense": (width, hidden),
        }
        for name, shape in sizes.items():
            weights[f"encoder.layer.{layer}.{name}.weight"] = matrix(*shape)
            weights[f"encoder.layer.{layer}.{name}.bias"] = matrix(shape[0])
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            weights[f"encoder.layer.{layer}.{name}.weight"] = 1 + matrix(width)
            weights[f"encoder.layer.{layer}.{name}.bias"] = matrix(width)
    return weights


def _tokenizer() -> PreTrainedTokenizerFast:
    ids = {token: index for index, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
