"""A pair of a few thousand parameters, trained in seconds on sentences that a grammar makes."""

import dataclasses
import itertools
import pathlib
import random

from keytokens.pipelines.training import contrastive, language_model, optimizers, stages

_PEOPLE = ("a man", "a woman", "the child", "my friend", "an old sailor", "the teacher")
_DOING = ("plays", "paints", "repairs", "buys", "sells", "carries")
_THINGS = ("a guitar", "the bicycle", "two apples", "a wooden boat", "the red house", "an engine")
_PLACES = ("in the garden", "near the harbour", "on the market", "at school", "in the old town")


def sentences() -> list[str]:
    found = [" ".join(parts) + "." for parts in itertools.product(_PEOPLE, _DOING, _THINGS, _PLACES)]
    random.Random(0).shuffle(found)
    return found


def write_corpus(directory: pathlib.Path) -> None:
    """texts.txt to train on, held_out.txt, pairs.tsv and sts.tsv (equal things are similar)."""
    lines = sentences()
    (directory / "texts.txt").write_text("".join(f"{line}\n" for line in lines[:700]), "utf-8")
    (directory / "held_out.txt").write_text("".join(f"{line}\n" for line in lines[700:780]), "utf-8")
    pairs = [f"{line}\t{line.replace('plays', 'repairs')}\n" for line in lines[:300]]
    (directory / "pairs.tsv").write_text("".join(pairs), "utf-8")
    scored = [
        f"{len(set(a.split()) & set(b.split()))}\t{a}\t{b}\n"
        for a, b in zip(lines[780:880], lines[880:980], strict=True)
    ]
    (directory / "sts.tsv").write_text("".join(scored), "utf-8")


def options(directory: pathlib.Path, **changes) -> stages.PairOptions:
    rates = optimizers.Rates(matrices=0.02, others=5e-3, warmup=5)
    return dataclasses.replace(
        stages.PairOptions(
            corpus=(str(directory / "texts.txt"),),
            backbone=None,
            base_name=None,
            pairs=(str(directory / "pairs.tsv"),),
            unpaired=(),
            max_pairs=200,
            teacher=None,
            held_out=(str(directory / "held_out.txt"),),
            sts=str(directory / "sts.tsv"),
            checkpoint_every=10,
            observe_every=10,
            language_model=language_model.LanguageModelOptions(
                vocab_size=320,
                width=16,
                layers=1,
                heads=2,
                max_length=64,
                window=32,
                batch=8,
                steps=40,
                rates=rates,
                table="ppmi",
                seed=0,
            ),
            contrastive=contrastive.ContrastiveOptions(
                pooling="weightedmean",
                max_length=32,
                batch=16,
                steps=20,
                rates=optimizers.Rates(matrices=0.0, others=3e-3, warmup=5),
                temperature=0.05,
                dropout=0.1,
                lora_rank=4,
                lora_alpha=4.0,
                teacher_weight=0.0,
                teacher_temperature=0.05,
                cosine_weight=0.0,
                contrast_weight=1.0,
                seed=0,
            ),
        ),
        **changes,
    )
