"""Makes tokenizers/*.json: one small tokenizer of every type that a registered model has.

pip install tokenizers && python tests/testdata/models/make_tokenizers.py
"""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent / "tokenizers"
TEXT = [
    "how do i bake sourdough bread at home ? mix flour , water and salt , let the dough rest and bake it hot .",
    "the stock market fell sharply on monday after the central bank raised interest rates again .",
    "This sentence of means in one word : This sentence means something . Instruct: Query: query: passage:",
    "Given a web search query, retrieve relevant passages that answer the query title: none | text: task: search",
    "a plane wing makes lift because the pressure below it exceeds the pressure above it",
    "dogs bark and cats sleep while people read books about history , music and the weather",
]
WORDS = " ".join(TEXT)


def template(single, specials, tokenizer):
    return processors.TemplateProcessing(
        single=single, special_tokens=[(token, tokenizer.token_to_id(token)) for token in specials]
    )


def wordpiece(name, specials, single, *, unk):
    tokenizer = Tokenizer(models.WordPiece(unk_token=unk))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(TEXT, trainers.WordPieceTrainer(vocab_size=260, special_tokens=specials))
    finish(tokenizer, name, single)


def bytelevel(name, specials, single):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=380, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    finish(tokenizer, name, single)


def sentencepiece(name, specials, single, *, prepend):
    """As converted from sentencepiece: spaces are written as a visible character, unknown ones as bytes."""
    parts = [normalizers.Prepend("▁")] if prepend else []
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([*parts, normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=len(specials) + 256 + 130, special_tokens=[*specials, *pieces])
    # Words apart, or merges would cross them.
    words = [word for text in TEXT for word in text.split()]
    tokenizer.train_from_iterator(words if prepend else [f" {word}" for word in words], trainer)
    state = Tokenizer.from_str(tokenizer.to_str())
    finish(without_added(state, pieces), name, single)


def without_added(tokenizer, pieces):
    """Byte pieces are ordinary entries of the vocabulary, not special ones."""
    import json

    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] not in pieces]
    return Tokenizer.from_str(json.dumps(state))


def unigram(name, specials, single, *, unk):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=220, special_tokens=specials, unk_token=unk)
    tokenizer.train_from_iterator(TEXT, trainer)
    finish(tokenizer, name, single)


def finish(tokenizer, name, single):
    if single is not None:
        tokens = [part for part in single.split() if part != "$A"]
        tokenizer.post_processor = template(single, tokens, tokenizer)
    tokenizer.save(str(HERE / f"{name}.json"), pretty=False)
    encoded = tokenizer.encode("how do i bake bread?")
    print(name, tokenizer.get_vocab_size(), encoded.tokens)


wordpiece("bert", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "[CLS] $A [SEP]", unk="[UNK]")
# As in every fairseq vocabulary the padding is 1: MPNet and XLM-R leave it out of the positions.
wordpiece("mpnet", ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<s> $A </s>", unk="<unk>")
bytelevel("gpt2", ["<|endoftext|>"], None)
bytelevel("opt", ["<s>", "<pad>", "</s>", "<unk>"], "</s> $A")
bytelevel("qwen", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], None)
bytelevel("qwen_embedding", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], "$A <|endoftext|>")
sentencepiece("llama", ["<unk>", "<s>", "</s>"], "<s> $A", prepend=True)
sentencepiece("gemma", ["<pad>", "<eos>", "<bos>", "<unk>"], "<bos> $A <eos>", prepend=False)
unigram("t5", ["<pad>", "</s>", "<unk>"], "$A </s>", unk="<unk>")
unigram("xlm_roberta", ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<s> $A </s>", unk="<unk>")
