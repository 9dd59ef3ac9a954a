"""Stage 2: a backbone becomes an embedder, by telling texts apart; its head and token embeddings stay as they are."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from keytokens import models
from keytokens.models.dropout import Dropout
from keytokens.models.pooling import pool
from keytokens.pipelines.training import loop, objectives, optimizers, sampling, weights

# The trainable parts of a model that is fine-tuned whole: all but what the head shares with the input.
_FROZEN = "embed"
_LENGTH_MULTIPLE = 16  # of tokens; a program is compiled for each length


@dataclasses.dataclass(frozen=True)
class ContrastiveOptions:
    """What decides an embedder, next to its backbone and pairs.

    Attributes:
      pooling: how token states become a vector.
      max_length: tokens of a text in training.
      batch: pairs of a step.
      steps: of the optimizer.
      rates: how fast is learned.
      temperature: of InfoNCE.
      dropout: rate of the noise in training; what tells the two views of one text apart.
      lora_rank: of the adapter; 0 trains all matrices and norms.
      lora_alpha: the adapter's scale times its rank.
      teacher_weight: of the teacher's neighbourhoods; 0 without a teacher.
      teacher_temperature: of their softmaxes.
      cosine_weight: of the teacher's cosines; 0 without a teacher.
      contrast_weight: of InfoNCE; 0 to learn from the teacher alone.
      seed: of everything random.
    """

    pooling: str
    max_length: int
    batch: int
    steps: int
    rates: optimizers.Rates
    temperature: float
    dropout: float
    lora_rank: int
    lora_alpha: float
    teacher_weight: float
    teacher_temperature: float
    cosine_weight: float
    contrast_weight: float
    seed: int


def contrastive_training(
    directory: pathlib.Path,
    backbone: models.Embedder,
    pairs: Sequence[tuple[str, str]],
    options: ContrastiveOptions,
    *,
    teacher: np.ndarray | None = None,
    **watching: Any,
) -> tuple[loop.Training, Any, Any]:
    """The training, its trainable parameters and its frozen ones.

    Args:
      directory: checkpoints are written below.
      backbone: loaded in float32.
      pairs: two texts that belong together; the same text twice where only noise makes the views differ.
      options: sizes and rates.
      teacher: unit vectors of the teacher, float32 [2, pairs, D'], or None.
      watching: further fields of `loop.Training`.
    """
    tokens = [_ids(backbone, [pair[side] for pair in pairs], options.max_length) for side in (0, 1)]
    lengths = np.array([max(len(left), len(right)) for left, right in zip(*tokens, strict=True)])
    body = backbone.params["body"]
    if options.lora_rank:
        trainable, frozen = weights.initial_lora(body, rank=options.lora_rank, seed=options.seed), body
    else:
        trainable = {name: part for name, part in body.items() if name != _FROZEN}
        frozen = {_FROZEN: body[_FROZEN]}

    def batch(step: int) -> dict[str, np.ndarray]:
        members = sampling.batch_of_like_length(lengths, batch=options.batch, seed=options.seed, step=step)
        rows = [tokens[side][member] for member in members for side in (0, 1)]
        ids, mask = sampling.padded(rows, pad_id=backbone.pad_id, multiple=_LENGTH_MULTIPLE)
        found = {"ids": ids, "mask": mask}
        if teacher is not None:
            found["teacher"] = teacher[:, members].swapaxes(0, 1).reshape(len(rows), -1)
        return found

    training = loop.Training(
        name="embedder",
        loss=_loss(backbone, options),
        batch=batch,
        optimizer=optimizers.make_optimizer(options.rates, steps=options.steps),
        steps=options.steps,
        directory=directory / "checkpoints" / "embedder",
        seed=options.seed,
        **watching,
    )
    return training, trainable, frozen


def embedder_parameters(trainable: Any, frozen: Any, options: ContrastiveOptions) -> Any:
    """The whole transformer's parameters, the adapter merged."""
    if options.lora_rank:
        return weights.merge_lora(frozen, trainable, scale=options.lora_alpha / options.lora_rank)
    return {**frozen, **trainable}


def _loss(backbone: models.Embedder, options: ContrastiveOptions) -> loop.Loss:
    spec = backbone.config.spec

    def loss(trainable: Any, frozen: Any, batch: Mapping[str, jax.Array], key: jax.Array) -> jax.Array:
        params = embedder_parameters(trainable, frozen, options)
        noise = {"drop": Dropout(options.dropout, key)} if options.dropout else {}
        states = weights.hidden_states(spec, params, batch["ids"], batch["mask"], **noise)
        vectors = objectives.unit(pool(states, batch["mask"], batch["mask"], pooling=options.pooling))
        total = jnp.zeros(())
        if options.contrast_weight:
            # Rows 2 i and 2 i + 1 are a pair, so that pairs stay together when a batch is split over devices.
            total += options.contrast_weight * objectives.info_nce(
                vectors[::2], vectors[1::2], temperature=options.temperature
            )
        if options.teacher_weight:
            total += options.teacher_weight * objectives.similarity_distillation(
                vectors, batch["teacher"], temperature=options.teacher_temperature
            )
        if options.cosine_weight:
            total += options.cosine_weight * objectives.cosine_regression(vectors, batch["teacher"])
        return total

    return loss


def _ids(backbone: models.Embedder, texts: Sequence[str], max_length: int) -> list[np.ndarray]:
    return [row.ids[:max_length] for row in backbone.tokenize(texts)]
