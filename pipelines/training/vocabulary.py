"""A byte-level BPE of one's own, as a tokenizer of transformers."""

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

PAD, START = "<pad>", "<s>"


def train_tokenizer(texts: Sequence[str], *, vocab_size: int, max_length: int) -> PreTrainedTokenizerFast:
    """Trains on the texts; lowercased, every text beginning with <s>, words with their space, any byte representable.

    Args:
      texts: to count pairs in.
      vocab_size: entries, special ones and the 256 bytes included.
      max_length: tokens that the model reads.

    Raises:
      ValueError: fewer entries than bytes, or texts too few for so many.
    """
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab_size < len(alphabet) + 2:
        raise ValueError(
            f"--vocab_size={vocab_size} must be at least {len(alphabet) + 2}: 256 bytes, {PAD} and {START}."
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[PAD, START], initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    if (found := tokenizer.get_vocab_size()) != vocab_size:
        raise ValueError(
            f"--vocab_size={vocab_size}: these texts make only {found} entries; give at most that many, or more text."
        )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, tokenizer.token_to_id(START))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, bos_token=START, model_max_length=max_length, padding_side="right"
    )


def token_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text, <s> first, however many."""
    return [encoding.ids for encoding in tokenizer.backend_tokenizer.encode_batch(list(texts))]
