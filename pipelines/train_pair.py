r"""Trains a small language model and makes an embedder of it, watching its first component move.

  python -m keytokens.pipelines.train_pair --corpus=pair_corpus/texts.txt --pairs=pair_corpus/pairs.tsv \
      --output_dir=pair

Stage 1 trains a LLaMA with a vocabulary of its own on the lines of --corpus; stage 2 makes an embedder of it (or of
--backbone) by contrastive learning on --pairs, as a LoRA adapter or whole. OUTPUT_DIR/backbone and OUTPUT_DIR/embedder
are checkpoints in Hugging Face layout, for every program here: --model=OUTPUT_DIR/embedder
--backbone=OUTPUT_DIR/backbone. trajectory.jsonl and its figures show what changed on the way: variation v_j, Hit@10,
LAR and GAR of --held_out texts, and the Spearman correlation on --sts. Started again, it goes on where it stopped. The
defaults (five million parameters) take hours on two cores; a GPU was not timed.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from keytokens.pipelines import cli

if TYPE_CHECKING:
    from keytokens.pipelines.training import stages

cli.declare_flags("corpus", "backbone", "output_dir", "compilation_cache")

BASE_NAME = flags.DEFINE_string(
    "base_name", None, "What the adapter will call its base, such as a hub id. Default: where the backbone lies now."
)
PAIRS = flags.DEFINE_list("pairs", [], "Stage 2: TSV or JSONL files of two texts a line that mean nearly the same.")
UNPAIRED = flags.DEFINE_list("unpaired", [], "Stage 2: files of texts paired with themselves (unsupervised SimCSE).")
MAX_PAIRS = flags.DEFINE_integer("max_pairs", None, "Of all pairs take this many, chosen by --seed.", lower_bound=2)
TEACHER = flags.DEFINE_string("teacher", None, "Stage 2: an embedder whose similarities are taught as well.")
HELD_OUT = flags.DEFINE_list("held_out", [], "Text or JSONL files for the trajectory. Default: none is written.")
STS = flags.DEFINE_string("sts", None, "A TSV of score and two texts a line, for Spearman along the trajectory.")

VOCAB_SIZE = flags.DEFINE_integer("vocab_size", 8192, "Entries of the vocabulary.")
WIDTH = flags.DEFINE_integer("width", 256, "Hidden size D.")
LAYERS = flags.DEFINE_integer("layers", 4, "Blocks.", lower_bound=1)
HEADS = flags.DEFINE_integer("heads", 4, "Attention heads.", lower_bound=1)
WINDOW = flags.DEFINE_integer("window", 128, "Tokens of a training window of stage 1.", lower_bound=2)
TABLE = flags.DEFINE_enum(
    "table", "ppmi", ["ppmi", "random"], "How token embeddings begin: classical vectors, or noise."
)
LM_STEPS = flags.DEFINE_integer("lm_steps", 3000, "Steps of stage 1.", lower_bound=1)
LM_BATCH = flags.DEFINE_integer("lm_batch", 32, "Windows of a step of stage 1.", lower_bound=1)
LM_RATE = flags.DEFINE_float("lm_rate", 0.02, "Muon's learning rate for matrices; 0 trains everything by AdamW.")
LM_OTHER_RATE = flags.DEFINE_float("lm_other_rate", 4e-3, "AdamW's learning rate in stage 1.")

STEPS = flags.DEFINE_integer("steps", 1000, "Steps of stage 2.", lower_bound=1)
BATCH = flags.DEFINE_integer("batch", 128, "Pairs of a step of stage 2.", lower_bound=2)
RATE = flags.DEFINE_float("rate", 1e-3, "AdamW's learning rate in stage 2.")
POOLING = flags.DEFINE_enum("train_pooling", "weightedmean", ["mean", "weightedmean", "lasttoken"], "Of token states.")
TEMPERATURE = flags.DEFINE_float("temperature", 0.05, "InfoNCE divides cosines by it.", lower_bound=1e-4)
DROPOUT = flags.DEFINE_float("dropout", 0.1, "Noise between the views of a text in stage 2.", lower_bound=0.0)
LORA_RANK = flags.DEFINE_integer("lora_rank", 64, "Of the adapter; 0 trains and writes a whole model.", lower_bound=0)
CONTRAST_WEIGHT = flags.DEFINE_float("contrast_weight", 1.0, "Of InfoNCE.", lower_bound=0.0)
TEACHER_WEIGHT = flags.DEFINE_float("teacher_weight", 1.0, "Of the teacher's neighbourhoods.", lower_bound=0.0)
TEACHER_TEMPERATURE = flags.DEFINE_float("teacher_temperature", 0.05, "Divides both cosines.", lower_bound=1e-4)
COSINE_WEIGHT = flags.DEFINE_float("cosine_weight", 20.0, "Of the teacher's cosines, squared error.", lower_bound=0.0)
TRAIN_LENGTH = flags.DEFINE_integer("train_length", 64, "Tokens read of a text in stage 2.", lower_bound=3)
MAX_LENGTH = flags.DEFINE_integer("model_length", 256, "Tokens that the finished models read.", lower_bound=8)
SEED = flags.DEFINE_integer("seed", 0, "Of everything random.")
CHECKPOINT_EVERY = flags.DEFINE_integer("checkpoint_every", 200, "Steps between checkpoints.", lower_bound=1)
OBSERVE_EVERY = flags.DEFINE_integer("observe_every", 100, "Steps between points of the trajectory.", lower_bound=1)


def options_from_flags() -> stages.PairOptions:
    """Everything that decides the pair."""
    # Here and not above: JAX, Optax, Orbax and transformers take 3 s, which --help need not spend.
    from keytokens.pipelines.training import contrastive, language_model, optimizers, stages

    return stages.PairOptions(
        corpus=tuple(cli.CORPUS.value or ()),
        backbone=cli.BACKBONE.value,
        base_name=BASE_NAME.value,
        pairs=tuple(PAIRS.value),
        unpaired=tuple(UNPAIRED.value),
        max_pairs=MAX_PAIRS.value,
        teacher=TEACHER.value,
        held_out=tuple(HELD_OUT.value),
        sts=STS.value,
        checkpoint_every=CHECKPOINT_EVERY.value,
        observe_every=OBSERVE_EVERY.value,
        language_model=language_model.LanguageModelOptions(
            vocab_size=VOCAB_SIZE.value,
            width=WIDTH.value,
            layers=LAYERS.value,
            heads=HEADS.value,
            max_length=MAX_LENGTH.value,
            window=WINDOW.value,
            batch=LM_BATCH.value,
            steps=LM_STEPS.value,
            rates=optimizers.Rates(matrices=LM_RATE.value, others=LM_OTHER_RATE.value, warmup=50),
            table=TABLE.value,
            seed=SEED.value,
        ),
        contrastive=contrastive.ContrastiveOptions(
            pooling=POOLING.value,
            max_length=TRAIN_LENGTH.value,
            batch=BATCH.value,
            steps=STEPS.value,
            rates=optimizers.Rates(matrices=0.0, others=RATE.value, warmup=50),
            temperature=TEMPERATURE.value,
            dropout=DROPOUT.value,
            lora_rank=LORA_RANK.value,
            lora_alpha=float(LORA_RANK.value),
            teacher_weight=TEACHER_WEIGHT.value if TEACHER.value else 0.0,
            teacher_temperature=TEACHER_TEMPERATURE.value,
            cosine_weight=COSINE_WEIGHT.value if TEACHER.value else 0.0,
            contrast_weight=CONTRAST_WEIGHT.value,
            seed=SEED.value,
        ),
    )


def main(argv: Sequence[str]) -> None:
    """Trains what is not trained yet."""
    from keytokens.pipelines.training import stages

    del argv
    stages.train_pair(pathlib.Path(cli.given(cli.OUTPUT_DIR)), options_from_flags())


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["output_dir"])


if __name__ == "__main__":
    run()
