"""Both stages in order: which files each reads, and what it leaves behind."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keytokens import models
from keytokens.pipelines import encoder
from keytokens.pipelines.figures import files as figure_files
from keytokens.pipelines.figures import trajectory as figures
from keytokens.pipelines.training import contrastive, files, language_model, loop, sampling, texts, trajectory


@dataclasses.dataclass(frozen=True)
class PairOptions:
    """What decides a pair.

    Attributes:
      corpus: patterns of the texts of stage 1.
      backbone: instead of stage 1.
      base_name: what an adapter calls its base; None for the backbone's path or name here.
      pairs: patterns of the pairs of stage 2.
      unpaired: patterns of texts that are paired with themselves.
      max_pairs: how many of them are taken; None for all.
      teacher: an embedder whose similarities are taught as well.
      held_out: patterns of the texts of the trajectory.
      sts: file of scored pairs, for the trajectory.
      checkpoint_every: steps.
      observe_every: steps.
      language_model: of stage 1.
      contrastive: of stage 2.
    """

    corpus: tuple[str, ...]
    backbone: str | None
    base_name: str | None
    pairs: tuple[str, ...]
    unpaired: tuple[str, ...]
    max_pairs: int | None
    teacher: str | None
    held_out: tuple[str, ...]
    sts: str | None
    checkpoint_every: int
    observe_every: int
    language_model: language_model.LanguageModelOptions
    contrastive: contrastive.ContrastiveOptions


def train_pair(directory: pathlib.Path, options: PairOptions) -> None:
    """Trains and writes `backbone/`, `embedder/`, `trajectory.jsonl` with its figures, and `training.json`.

    Raises:
      ValueError: nothing to train on, or the directory holds a training with other options.
    """
    if not (options.corpus or options.backbone):
        raise ValueError("stage 1 has nothing to read: give --corpus, or --backbone to start from a model that exists.")
    _check_same_options(directory, options)
    backbone = options.backbone or str(_train_backbone(directory / "backbone", options))
    if options.pairs or options.unpaired:
        _train_embedder(directory, backbone, options)


def _check_same_options(directory: pathlib.Path, options: PairOptions) -> None:
    """A training goes on with the options it was begun with, or not at all."""
    file = directory / "training.json"
    now = json.loads(json.dumps(dataclasses.asdict(options)))
    if file.is_file():
        before = json.loads(file.read_text("utf-8"))
        changed = [
            f"{name}: {before.get(name)!r} then, {now[name]!r} now" for name in now if before.get(name) != now[name]
        ]
        if changed:
            raise ValueError(
                f"{directory} holds a training with other options ({'; '.join(changed)}), which cannot be gone on "
                "with. Give the same options, or another --output_dir."
            )
    directory.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(now, indent=1) + "\n", "utf-8")


def _train_backbone(directory: pathlib.Path, options: PairOptions) -> pathlib.Path:
    if (directory / "model.safetensors").is_file():
        return directory
    read = texts.read_texts(options.corpus)
    tokenizer = language_model.prepare(directory, read, options.language_model)
    training, params = language_model.language_model_training(
        directory, tokenizer, read, options.language_model,
        checkpoint_every=options.checkpoint_every, observe_every=options.observe_every,
    )  # fmt: skip
    files.write_model(directory, loop.train(training, params, {}))
    return directory


def _train_embedder(directory: pathlib.Path, backbone_name: str, options: PairOptions) -> None:
    target, choices = directory / "embedder", options.contrastive
    if any((target / name).is_file() for name in ("model.safetensors", "adapter_model.safetensors")):
        return
    config = models.read_embedder(backbone_name, pooling=choices.pooling)
    backbone = models.load_embedder(config)
    pairs = _chosen_pairs(options)
    training, trainable, frozen = contrastive.contrastive_training(
        directory, backbone, pairs, choices,
        teacher=_teacher_vectors(directory, pairs, options.teacher),
        checkpoint_every=options.checkpoint_every, observe_every=options.observe_every,
    )  # fmt: skip
    if options.held_out:
        probe = trajectory.Probe(
            directory, backbone, texts.read_texts(options.held_out),
            trajectory.read_scored_pairs(options.sts) if options.sts else None,
            lambda trained: contrastive.embedder_parameters(trained, frozen, choices),
            pooling=choices.pooling, max_length=choices.max_length,
        )  # fmt: skip
        training = dataclasses.replace(training, observe=probe.observe)
    trained = loop.train(training, trainable, frozen)
    if options.held_out:
        points = trajectory.read_trajectory(directory)
        figure_files.write(directory / "trajectory_variation", figures.variation(points))
        figure_files.write(directory / "trajectory_shares", figures.shares(points))
    target.mkdir(exist_ok=True)
    # Trained on short texts, but it reads as many tokens as its backbone.
    length = config.recipe.max_length
    files.write_pooling(target, width=config.hidden_size, pooling=choices.pooling, max_length=length)
    files.copy_files(config.tokenizer_directory, target, files.TOKENIZER_FILES)
    if choices.lora_rank:
        files.write_adapter(
            target,
            frozen,
            trained,
            base=options.base_name or backbone_name,
            rank=choices.lora_rank,
            alpha=choices.lora_alpha,
        )
    else:
        files.copy_files(config.body_directory, target, files.CONFIG_FILES)
        files.write_model(target, contrastive.embedder_parameters(trained, frozen, choices))


def _chosen_pairs(options: PairOptions) -> list[tuple[str, str]]:
    pairs = texts.read_pairs(options.pairs) if options.pairs else []
    if options.unpaired:
        pairs += [(text, text) for text in texts.read_texts(options.unpaired)]
    order = sampling.epoch_order(len(pairs), seed=options.contrastive.seed, epoch=0)
    return [pairs[index] for index in order[: options.max_pairs]]


def _teacher_vectors(
    directory: pathlib.Path, pairs: Sequence[tuple[str, str]], teacher: str | None
) -> np.ndarray | None:
    """Unit vectors float32 [2, pairs, D']; kept on disk, since a resumed training needs them again."""
    if teacher is None:
        return None
    file = directory / "checkpoints" / "teacher.npy"
    if file.is_file():
        return np.load(file, allow_pickle=False)
    loaded = encoder.shared_encoder(models.read_embedder(teacher))
    distinct = sorted({text for pair in pairs for text in pair})
    place = {text: row for row, text in enumerate(distinct)}
    vectors = np.asarray(loaded.embed(distinct).hidden, np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    sides: Any = [[place[pair[side]] for pair in pairs] for side in (0, 1)]
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, vectors[np.array(sides)])
    return np.load(file, allow_pickle=False)
