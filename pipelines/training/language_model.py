"""Stage 1: a language model from plain text, with a vocabulary of its own."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from keytokens.models.configuration import read_config, read_spec
from keytokens.models.spec import Spec
from keytokens.models.tokenizing import read_tokenizer
from keytokens.pipelines.training import files, loop, objectives, optimizers, sampling, token_table, vocabulary, weights


@dataclasses.dataclass(frozen=True)
class LanguageModelOptions:
    """What decides a language model, next to its texts.

    Attributes:
      vocab_size: entries of the vocabulary.
      width: D.
      layers: blocks.
      heads: of attention.
      max_length: tokens the model is meant for.
      window: tokens of a training window.
      batch: windows of a step.
      steps: of the optimizer.
      rates: how fast is learned.
      table: how token embeddings begin, "random" or "ppmi".
      seed: of everything random.
    """

    vocab_size: int
    width: int
    layers: int
    heads: int
    max_length: int
    window: int
    batch: int
    steps: int
    rates: optimizers.Rates
    table: str
    seed: int


def prepare(directory: pathlib.Path, texts: Sequence[str], options: LanguageModelOptions) -> Any:
    """Writes tokenizer and config.json, unless an earlier start has; returns the tokenizer."""
    if not (directory / "config.json").is_file():
        directory.mkdir(parents=True, exist_ok=True)
        tokenizer = vocabulary.train_tokenizer(texts, vocab_size=options.vocab_size, max_length=options.max_length)
        tokenizer.save_pretrained(directory)
        files.name_tokenizer_class(directory)
        files.write_pooling(directory, width=options.width, pooling="weightedmean", max_length=options.max_length)
        files.write_config(
            directory,
            vocab_size=options.vocab_size,
            width=options.width,
            layers=options.layers,
            heads=options.heads,
            max_length=options.max_length,
            pad_id=tokenizer.pad_token_id,
            start_id=tokenizer.bos_token_id,
        )
    return read_tokenizer(str(directory))


def language_model_training(
    directory: pathlib.Path, tokenizer: Any, texts: Sequence[str], options: LanguageModelOptions, **watching: Any
) -> tuple[loop.Training, dict[Any, Any]]:
    """The training and its initial parameters.

    Args:
      directory: with config.json and tokenizer; checkpoints are written below.
      tokenizer: of the directory.
      texts: in any order; each epoch has its own.
      options: sizes and rates.
      watching: further fields of `loop.Training`.
    """
    _, spec = read_spec(directory, read_config(directory))
    order = sampling.epoch_order(len(texts), seed=options.seed, epoch=0)
    rows = vocabulary.token_ids(tokenizer, [texts[index] for index in order])
    stream = np.fromiter((token for row in rows for token in row), np.int32)
    params = weights.initial_parameters(spec, seed=options.seed)
    if options.table == "ppmi":
        params["embed"]["weight"] = token_table.ppmi_embeddings(
            stream, vocab_size=options.vocab_size, width=options.width, seed=options.seed
        )

    def batch(step: int) -> dict[str, np.ndarray]:
        tokens = sampling.windows(stream, batch=options.batch, length=options.window, seed=options.seed, step=step)
        return {"tokens": tokens}

    training = loop.Training(
        name="language model",
        loss=_loss(spec),
        batch=batch,
        optimizer=optimizers.make_optimizer(options.rates, steps=options.steps),
        steps=options.steps,
        directory=directory.parent / "checkpoints" / "language_model",
        seed=options.seed,
        **watching,
    )
    return training, params


def _loss(spec: Spec) -> loop.Loss:
    def loss(params: Any, frozen: Any, batch: Mapping[str, jax.Array], key: jax.Array) -> jax.Array:
        del frozen, key
        inputs, targets = batch["tokens"][:, :-1], batch["tokens"][:, 1:]
        hidden = weights.hidden_states(spec, params, inputs, jax.numpy.ones(inputs.shape, bool))
        return objectives.next_token_loss(hidden, params["embed"]["weight"], targets)

    return loss
