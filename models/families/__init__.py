"""The families of architectures, by the `model_type` of their configurations."""

from keytokens.models.families.bert import BERT, DPR, MPNET, ROBERTA
from keytokens.models.families.family import Family, Names
from keytokens.models.families.gemma import GEMMA
from keytokens.models.families.gpt_neo import GPT_NEO
from keytokens.models.families.llama import LLAMA
from keytokens.models.families.opt import OPT
from keytokens.models.families.t5 import T5

FAMILIES: dict[str, Family] = {
    "bert": BERT,
    "dpr": DPR,
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
    "gpt_neo": GPT_NEO,
    "llama": LLAMA,
    "mistral": LLAMA,
    "mpnet": MPNET,
    "opt": OPT,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "roberta": ROBERTA,
    "t5": T5,
    "xlm-roberta": ROBERTA,
}

__all__ = ["FAMILIES", "Family", "Names"]
