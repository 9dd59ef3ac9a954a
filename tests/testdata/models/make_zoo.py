"""Makes zoo.npz: the embeddings and key tokens of every registered model's tiny checkpoint, by the public recipes.

  pip install torch==2.13.0 transformers==5.23.0 peft==0.21.2 sentence-transformers==6.2.0 ml_dtypes
  PYTHONSAFEPATH=1 PYTHONPATH=tests/models python tests/testdata/models/make_zoo.py

One text at a time, without padding, as each project's README or code says it. Nothing here knows our registry.
"""

import json
import logging
import tempfile
from pathlib import Path

import numpy as np
import peft
import sentence_transformers
import torch
import transformers as tf
from zoo_checkpoints import ADAPTERS, LAYOUTS, build

HERE = Path(__file__).parent
TEXTS = json.loads((HERE / "zoo_texts.json").read_text("utf-8"))
TASK = "Given a web search query, retrieve relevant passages that answer the query"
EOL = 'This sentence : "{}" means in one word:"'
BERT = "google-bert/bert-base-uncased"
MISTRAL = "mistralai/Mistral-7B-v0.1"
INSTRUCT = "mistralai/Mistral-7B-Instruct-v0.2"
NUM_TOKENS = 10

shelf = Path(tempfile.mkdtemp())


def load(hub_id, *, cls=tf.AutoModel, causal=None, adapters=()):
    """The model with its adapters merged, and its tokenizer; every weight must have found its place."""
    directory = build(shelf, hub_id)
    config = tf.AutoConfig.from_pretrained(directory, trust_remote_code=False)
    if causal is not None:
        config.is_causal = causal
    model, info = cls.from_pretrained(
        directory, config=config, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
    )
    missing = [key for key in info["missing_keys"] if "pooler" not in key]
    assert not missing and not info["mismatched_keys"], (hub_id, missing)
    for adapter in adapters:
        model = peft.PeftModel.from_pretrained(model, build(shelf, adapter)).merge_and_unload()
    return model.eval(), tf.AutoTokenizer.from_pretrained(directory)


def states(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0]


def sentence_transformer(hub_id):
    """Pooled, before Dense and Normalize."""
    model = sentence_transformers.SentenceTransformer(str(build(shelf, hub_id)), device="cpu")

    def embed(text, prompt=""):
        with torch.no_grad():
            return model[1](model[0](model.preprocess([prompt + text])))["sentence_embedding"][0]

    return embed


def mean(model, tokenizer):
    return lambda text, prompt="": states(model, tokenizer(prompt + text)["input_ids"]).mean(0)


def first(model, tokenizer):
    return lambda text, prompt="": states(model, tokenizer(prompt + text)["input_ids"])[0]


def last(model, tokenizer):
    return lambda text: states(model, tokenizer(text)["input_ids"])[-1]


def weighted_mean(model, ids):
    weights = torch.arange(1, len(ids) + 1, dtype=torch.float32)[:, None]
    return (states(model, ids) * weights).sum(0) / weights.sum()


def sgpt_specb(model, tokenizer):
    """SGPT's README: the brackets' ids stand around a text tokenised without them."""

    def embed(text, brackets):
        opening, closing = (tokenizer.encode(bracket, add_special_tokens=False)[0] for bracket in brackets)
        return weighted_mean(model, [opening, *tokenizer(text)["input_ids"], closing])

    return embed


def with_end(model, tokenizer, end):
    """E5's README: the end token is appended, and the last token's state is the embedding."""
    end_id = tokenizer.convert_tokens_to_ids(end)

    def embed(text, prompt="", suffix=""):
        ids = tokenizer(prompt + text + suffix)["input_ids"]
        ids = ids if ids[-1] == end_id else [*ids, end_id]
        assert ids.count(end_id) == 1
        return states(model, ids)[-1]

    return embed


def gritlm(model, tokenizer):
    """gritlm.py: the instruction's own token count, BOS included, is left out of the mean."""

    def embed(text, instruction):
        ids = tokenizer(instruction + text)["input_ids"]
        return states(model, ids)[len(tokenizer(instruction)["input_ids"]) :].mean(0)

    return embed


def llm2vec(model, tokenizer):
    """llm2vec.py: a separator marks the text, whose own token count is pooled from the end."""
    separator = "!@#$%^&*()"

    def embed(text, instruction=""):
        joined = f"{instruction.strip()} {separator}{text}" if instruction else f"{separator}{text}"
        parts = joined.split(separator)
        ids = tokenizer("".join(parts))["input_ids"]
        return states(model, ids)[-len(tokenizer(parts[1], add_special_tokens=False)["input_ids"]) :].mean(0)

    return embed


def prompt_bert(model, tokenizer):
    def embed(text):
        ids = tokenizer(f'This sentence of "{text}" means [MASK].')["input_ids"]
        return states(model, ids)[ids.index(tokenizer.mask_token_id)]

    return embed


def t5_decoder(model, tokenizer):
    def embed(text):
        with torch.no_grad():
            out = model(
                input_ids=torch.tensor([tokenizer(text)["input_ids"]]),
                decoder_input_ids=torch.tensor([[0]]),
                output_hidden_states=True,
            )
        return out.decoder_hidden_states[-1][0, 0]

    return embed


def bert_head(hub_id):
    return load(hub_id, cls=tf.AutoModelForMaskedLM)[0].cls


def lm_head(hub_id, cls=tf.AutoModelForCausalLM):
    return load(hub_id, cls=cls)[0].lm_head


def tied(hub_id):
    weight = load(hub_id)[0].get_input_embeddings().weight
    return lambda hidden: hidden @ weight.T


def t5_head(hub_id):
    model = load(hub_id, cls=tf.T5ForConditionalGeneration)[0]
    return lambda hidden: model.lm_head(hidden * model.model_dim**-0.5)


def both(embed):
    return embed, embed


def recipes():
    """Name -> (embed a document, embed a query, head)."""
    instruct, instruct_tight = f"Instruct: {TASK}\nQuery: ", f"Instruct: {TASK}\nQuery:"
    yield (
        "all-minilm-l6-v2",
        *both(sentence_transformer("sentence-transformers/all-MiniLM-L6-v2")),
        tied("sentence-transformers/all-MiniLM-L6-v2"),
    )
    neo = "EleutherAI/gpt-neo-1.3B"
    yield "sgpt_nli", *both(sentence_transformer("Muennighoff/SGPT-1.3B-weightedmean-nli")), lm_head(neo)
    specb = sgpt_specb(*load("Muennighoff/SGPT-1.3B-weightedmean-msmarco-specb-bitfit"))
    yield "sgpt_msmarco", lambda text: specb(text, "{}"), lambda text: specb(text, "[]"), lm_head(neo)
    for family, base in (("opt", "facebook/opt-1.3b"), ("llama", "huggyllama/llama-7b")):
        adapter = f"royokong/prompteol-{base.split('/')[1]}"
        assert adapter in ADAPTERS
        for name, adapters in ((f"{family}_eol_cse", [adapter]), (f"{family}_eol", [])):
            one_word = last(*load(base, cls=tf.AutoModelForCausalLM, adapters=adapters))
            yield name, *both(lambda text, embed=one_word: embed(EOL.replace("{}", text))), lm_head(base)
        yield family, *both(last(*load(base))), lm_head(base)
    llama2 = "meta-llama/Llama-2-7b-hf"
    yield "llama2", *both(last(*load(llama2))), lm_head(llama2)
    llama2_last = last(*load(llama2))
    yield "llama2_eol", *both(lambda text: llama2_last(EOL.replace("{}", text))), lm_head(llama2)
    grit = gritlm(*load("GritLM/GritLM-7B", causal=False))
    yield (
        "gritlm",
        lambda text: grit(text, "<|embed|>\n"),
        lambda text: grit(text, f"<|user|>\n{TASK}\n<|embed|>\n"),
        lm_head("GritLM/GritLM-7B"),
    )
    mntp = "McGill-NLP/LLM2Vec-Mistral-7B-Instruct-v2-mntp"
    for name, second in (("unsup", f"{mntp}-unsup-simcse"), ("sup", f"{mntp}-supervised")):
        embed = llm2vec(*load(INSTRUCT, causal=False, adapters=[mntp, second]))
        yield (
            f"llm2vec_mistral_{name}",
            embed,
            lambda text, embed=embed: embed(text, f"{TASK}:"),
            lm_head(INSTRUCT),
        )
    e5 = with_end(*load("intfloat/e5-mistral-7b-instruct"), "</s>")
    yield "e5_mistral", e5, lambda text: e5(text, instruct), lm_head(MISTRAL)
    neo_model, neo_tokenizer = load(neo)
    yield (
        "gpt_neo",
        *both(lambda text: weighted_mean(neo_model, neo_tokenizer(text)["input_ids"])),
        lm_head(neo),
    )
    yield "mistral", *both(mean(*load(MISTRAL))), lm_head(MISTRAL)
    yield "mistral_instruct", *both(mean(*load(INSTRUCT))), lm_head(INSTRUCT)
    head = bert_head(BERT)
    yield "bert", *both(mean(*load(BERT))), head
    for name, hub_id in (("", BERT), ("_sup", "royokong/sup-PromptBERT"), ("_unsup", "royokong/unsup-PromptBERT")):
        yield f"prompt_bert{name}", *both(prompt_bert(*load(hub_id))), head
    yield "simcse", *both(first(*load("princeton-nlp/sup-simcse-bert-base-uncased"))), head
    yield "contriever", *both(mean(*load("facebook/contriever"))), head
    question, context = tf.DPRQuestionEncoder, tf.DPRContextEncoder
    for name, hub_id, cls in (
        ("dpr_question", "facebook/dpr-question_encoder-single-nq-base", question),
        ("dpr_context", "facebook/dpr-ctx_encoder-single-nq-base", context),
        ("spider", "tau/spider", context),
    ):
        model, tokenizer = load(hub_id, cls=cls)

        def pooled(text, model=model, tokenizer=tokenizer):
            with torch.no_grad():
                return model(**tokenizer(text, return_tensors="pt")).pooler_output[0]

        yield name, *both(pooled), head
    yield "gte", *both(sentence_transformer("thenlper/gte-base")), head
    e5_base = sentence_transformer("intfloat/e5-base-v2")
    yield "e5", lambda text: e5_base(text, "passage: "), lambda text: e5_base(text, "query: "), head
    yield (
        "mpnet",
        *both(sentence_transformer("sentence-transformers/all-mpnet-base-v2")),
        lm_head("microsoft/mpnet-base", tf.AutoModelForMaskedLM),
    )
    t5 = "google-t5/t5-base"
    encoder = mean(*load("sentence-transformers/sentence-t5-base", cls=tf.T5EncoderModel))
    yield "sentence_t5", *both(encoder), t5_head(t5)
    yield "t5_decoder", *both(t5_decoder(*load(t5, cls=tf.T5ForConditionalGeneration))), t5_head(t5)
    gte = with_end(*load("Alibaba-NLP/gte-Qwen2-7B-instruct", causal=False), "<|endoftext|>")
    yield "gte_qwen2", gte, lambda text: gte(text, instruct), lm_head("Alibaba-NLP/gte-Qwen2-7B-instruct")
    for size, head_id in (("0.6B", ""), ("4B", ""), ("8B", "Qwen/Qwen3-8B-Base")):
        hub_id = f"Qwen/Qwen3-Embedding-{size}"
        embed = sentence_transformer(hub_id)
        yield (
            f"qwen3_embedding_{size.lower()}",
            embed,
            lambda text, embed=embed: embed(text, instruct_tight),
            lm_head(head_id) if head_id else tied(hub_id),
        )
    gemma = mean(*load("google/embeddinggemma-300m"))
    yield (
        "embeddinggemma",
        lambda text: gemma(text, "title: none | text: "),
        lambda text: gemma(text, "task: search result | query: "),
        tied("google/embeddinggemma-300m"),
    )
    icl = with_end(*load("BAAI/bge-en-icl"), "</s>")
    yield "bge_en_icl", icl, lambda text: icl(text, f"<instruct>{TASK}\n<query>", "\n<response>"), lm_head(MISTRAL)
    me5 = sentence_transformer("intfloat/multilingual-e5-large-instruct")
    yield (
        "multilingual_e5_large_instruct",
        me5,
        lambda text: me5(text, instruct),
        lm_head("FacebookAI/xlm-roberta-large", tf.AutoModelForMaskedLM),
    )


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    out = {}
    for name, document, query, head in recipes():
        for role, embed in (("document", document), ("query", query)):
            with torch.no_grad():
                hidden = torch.stack([embed(text) for text in TEXTS])
                tokens = np.argsort(-head(hidden).numpy(), axis=1, kind="stable")[:, :NUM_TOKENS]
            out[f"{name}/{role}"] = hidden.numpy()
            out[f"{name}/{role}/tokens"] = tokens.astype(np.int32)
        print(name, flush=True)
    versions = {module.__name__: module.__version__ for module in (torch, tf, peft, sentence_transformers)}
    out["meta"] = np.frombuffer(json.dumps({"versions": versions}).encode(), np.uint8)
    np.savez_compressed(HERE / "zoo.npz", **out)
    print(f"{len(LAYOUTS)} checkpoints and {len(ADAPTERS)} adapters")
