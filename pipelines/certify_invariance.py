"""Certifies that a text's key tokens do not depend on what it is computed with: batch size, padding, side, precision.

  python -m keytokens.pipelines.certify_invariance --model=all-minilm-l6-v2 --texts=texts.txt

embeds every text (a line each) alone, unpadded, in float32, then again in batches of 8 and 32, with padding on the
right and on the left, in bfloat16, and as the main job computes it, texts sharing rows, in float32, bfloat16 and, where
its C++ library is built, int16. It prints how far the k key tokens agree: mean and least Jaccard@k, share of texts with
the same set, largest difference of a logit. Expect 1.000 for everything in float32, 0.998 for int16 and 0.99 for
bfloat16. Minutes on a CPU, most of them compiling a program for every length.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from absl import flags

from keytokens import kernels, models
from keytokens.pipelines import cli, encoder
from keytokens.pipelines.analysis import overlap

cli.declare_flags(*cli.MODEL_FLAGS, "k", "output")

TEXTS = flags.DEFINE_string("texts", None, "File with the texts, one a line; empty lines are left out.")
DEFAULT_K = 10


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to compute the same embeddings.

    Attributes:
      name: in the table.
      batch_size: texts computed together.
      padding: positions added to every batch.
      multiple: lengths are padded up to a multiple of it, so that few programs compile.
      left: padding stands before the text.
      dtype: of weights and products.
      packed: texts share rows as in the main job; the fields above, dtype apart, mean nothing then.
    """

    name: str
    batch_size: int = 1
    padding: int = 0
    multiple: int = 32
    left: bool = False
    dtype: str = "float32"
    packed: bool = False


BASELINE = Variant("alone, unpadded, float32", multiple=1)
VARIANTS = (
    Variant("batches of 8", batch_size=8),
    Variant("batches of 32", batch_size=32),
    Variant("padded on the right", padding=32),
    Variant("padded on the left", padding=32, left=True),
    Variant("batches of 8, left", batch_size=8, left=True),
    Variant("bfloat16", dtype="bfloat16"),
    Variant("bfloat16, batches of 32", batch_size=32, dtype="bfloat16"),
    Variant("sharing rows", packed=True),
    Variant("bfloat16, sharing rows", packed=True, dtype="bfloat16"),
    Variant("int16, sharing rows", packed=True, dtype="int16"),
)


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far a variant agrees with the baseline over all texts."""

    variant: str
    mean_jaccard: float
    least_jaccard: float
    share_same_set: float
    largest_logit_difference: float


def certify(config: models.EmbedderConfig, texts: Sequence[str], *, k: int) -> list[Agreement]:
    """The agreement of every variant.

    Raises:
      ValueError: no text, or k outside the vocabulary.
    """
    if not texts:
        raise ValueError("--texts holds no text, so there is nothing to certify.")
    if not 1 <= k <= config.vocab_size:
        raise ValueError(f"--k={k} must be between 1 and the {config.vocab_size} tokens of {config.name}.")
    variants = [variant for variant in VARIANTS if why_not(variant) is None]
    base, *others = (_key_tokens(config, texts, k, variant) for variant in (BASELINE, *variants))
    return [_agreement(variant.name, base, other) for variant, other in zip(variants, others, strict=True)]


def why_not(variant: Variant) -> str | None:
    """Why this machine cannot compute the variant; None where it can."""
    from keytokens.pipelines import arithmetic  # here: --help needs no JAX

    try:
        arithmetic.ops_for(variant.dtype)
    except ValueError as error:
        return str(error)
    return None


def _agreement(name: str, base: kernels.TopK, other: kernels.TopK) -> Agreement:
    shared = overlap.jaccard(np.asarray(base.indices), np.asarray(other.indices))
    return Agreement(
        variant=name,
        mean_jaccard=float(shared.mean()),
        least_jaccard=float(shared.min()),
        share_same_set=float((shared == 1).mean()),
        largest_logit_difference=float(np.abs(np.asarray(base.values) - np.asarray(other.values)).max()),
    )


def _key_tokens(config: models.EmbedderConfig, texts: Sequence[str], k: int, variant: Variant) -> kernels.TopK:
    import jax  # here: --help needs no JAX

    loaded = encoder.Encoder(dataclasses.replace(config, dtype=variant.dtype))
    embedder = loaded.embedder
    hidden = loaded.embed(texts).hidden if variant.packed else _a_text_a_row(embedder, texts, variant)
    head = embedder.head
    transformed = embedder.head_transform(embedder.params, jax.numpy.asarray(hidden))
    return kernels.aligned_topk(transformed, head.weight, k, bias=head.bias, scale=head.scale, softcap=head.softcap)


def _a_text_a_row(embedder: models.Embedder, texts: Sequence[str], variant: Variant) -> np.ndarray:
    import jax

    embed = jax.jit(embedder.embed)
    tokens = embedder.tokenize(texts)
    hidden = np.zeros((len(texts), embedder.config.hidden_size), np.float32)
    order = np.argsort([len(t.ids) for t in tokens], kind="stable")
    for start in range(0, len(order), variant.batch_size):
        members = order[start : start + variant.batch_size]
        longest = max(len(tokens[member].ids) for member in members)
        length = -(-longest // variant.multiple) * variant.multiple + variant.padding
        ids = np.full((variant.batch_size, length), embedder.pad_id, np.int32)
        mask, pooled = np.zeros((2, *ids.shape), bool)
        for slot, member in enumerate(members):
            size = len(tokens[member].ids)
            place = slice(length - size, length) if variant.left else slice(0, size)
            ids[slot, place], mask[slot, place], pooled[slot, place] = tokens[member].ids, True, tokens[member].pooled
        hidden[members] = np.asarray(embed(embedder.params, ids, mask, pooled))[: len(members)]
    return hidden


def render(found: Sequence[Agreement], k: int) -> str:
    """The table for people."""
    lines = [f"{'against ' + BASELINE.name:32}  mean J@{k:<4} least   same set  largest logit difference"]
    for row in found:
        lines.append(
            f"{row.variant:32}  {row.mean_jaccard:8.4f}  {row.least_jaccard:6.3f}  {row.share_same_set:8.1%}  "
            f"{row.largest_logit_difference:.2e}"
        )
    return "\n".join(lines)


def main(argv: Sequence[str]) -> None:
    """Prints the certificate."""
    del argv
    cli.check_output_files()
    lines = pathlib.Path(cli.given(TEXTS)).read_text("utf-8").splitlines()
    k = cli.K.value or DEFAULT_K
    found = certify(cli.model_from_flags(), [line for line in lines if line.strip()], k=k)
    print(render(found, k))
    for variant in VARIANTS:
        if reason := why_not(variant):
            print(f"{variant.name}: not certified here; {reason}")
    cli.write_json_output({"k": k, "variants": [dataclasses.asdict(row) for row in found]})


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, required=["model", "texts"])


if __name__ == "__main__":
    run()
