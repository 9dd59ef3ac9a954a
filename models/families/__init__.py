"""The families of architectures, by the `model_type` of their configurations."""

from keytokens.models.families.bert import BERT
from keytokens.models.families.family import Family
from keytokens.models.families.llama import LLAMA

FAMILIES: dict[str, Family] = {
    "bert": BERT,
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
}

__all__ = ["FAMILIES", "Family"]
