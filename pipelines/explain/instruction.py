"""The same text under several instructions: what are its key tokens, and which tokens moved most?"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keytokens import models
from keytokens.pipelines import encoder
from keytokens.pipelines.analysis import overlap
from keytokens.pipelines.explain import colour
from keytokens.pipelines.explain import text as explain_texts
from keytokens.pipelines.report import data, terminal


@dataclasses.dataclass(frozen=True)
class Move:
    """A token whose logit changed: of the unit vector h / |h|, so that lengths of embeddings do not matter."""

    token: str
    token_id: int
    before: float
    after: float


@dataclasses.dataclass(frozen=True)
class Instructed:
    """A text under one instruction.

    Attributes:
      instruction: '' for none.
      example: the text with its key tokens.
      jaccard: of its key tokens with those under no instruction; 1 for none.
      risen: tokens that gained most against no instruction, most first.
      fallen: that lost most.
    """

    instruction: str
    example: data.Example
    jaccard: float
    risen: tuple[Move, ...]
    fallen: tuple[Move, ...]


@dataclasses.dataclass(frozen=True)
class InstructionExplanation:
    """One text under no instruction and under each of several.

    Attributes:
      text: the text.
      trained: whether the embedder was trained to follow instructions; else they stand before the text as any words.
      variants: without instruction first.
    """

    text: str
    trained: bool
    variants: tuple[Instructed, ...]


def instructed(recipe: models.Recipe, instruction: str) -> models.Recipe:
    """The recipe under an instruction: in the place that it has for one, else as a prompt before the text."""
    if recipe.instruction:
        return recipe.with_instruction(instruction)
    return dataclasses.replace(recipe, prompt=f"{instruction} {recipe.prompt}")


def explain(
    config: models.EmbedderConfig, text: str, instructions: Sequence[str], *, k: int, num_moved: int = 8
) -> InstructionExplanation:
    """The explanation of a text; the model is loaded once.

    Raises:
      ValueError: k outside the vocabulary, an empty text or instruction.
    """
    explain_texts.check(config, [text], k=k)
    explain_texts.check(config, instructions, k=k, flag="--instruction")
    loaded = encoder.shared_encoder(config)
    bare = _decode(loaded, text, k)
    variants = [Instructed("", bare.example, jaccard=1.0, risen=(), fallen=())]
    base = np.array([[token.token_id for token in bare.example.key_tokens]])
    strings = loaded.embedder.token_strings
    for instruction in instructions:
        variant = copy.copy(loaded)
        variant.embedder = loaded.embedder.with_recipe(instructed(config.recipe, instruction))
        found = _decode(variant, text, k)
        order = np.argsort(bare.logits - found.logits, kind="stable")
        moves = [
            Move(strings[token], token, float(bare.logits[token]), float(found.logits[token]))
            for token in [*order[:num_moved].tolist(), *order[::-1][:num_moved].tolist()]
        ]
        ids = np.array([[token.token_id for token in found.example.key_tokens]])
        variants.append(
            Instructed(
                instruction,
                found.example,
                jaccard=float(overlap.jaccard(base, ids)[0]),
                risen=tuple(moves[:num_moved]),
                fallen=tuple(moves[num_moved:]),
            )
        )
    return InstructionExplanation(text, bool(config.recipe.instruction), tuple(variants))


class _Decoded(NamedTuple):
    """One text: with its key tokens, and all logits of h / |h|, float32 [V]."""

    example: data.Example
    logits: np.ndarray


def _decode(loaded: encoder.Encoder, text: str, k: int) -> _Decoded:
    [example], hidden = explain_texts.decode(loaded, [text], k=k)
    return _Decoded(example, unit_logits(loaded, hidden)[0])


def unit_logits(loaded: encoder.Encoder, hidden: np.ndarray) -> np.ndarray:
    """All logits of h / |h| without bias, scale or cap, [n, V]; for a few texts."""
    if "transform" in loaded.embedder.params:
        import jax.numpy as jnp  # here: --help needs no JAX

        hidden = np.asarray(loaded.embedder.head_transform(loaded.embedder.params, jnp.asarray(hidden)), np.float32)
    unit = hidden / np.maximum(np.linalg.norm(hidden, axis=1, keepdims=True), 1e-30)
    return unit @ np.asarray(loaded.embedder.head.weight, np.float32).T


def render(found: InstructionExplanation, *, on: bool) -> str:
    """Key tokens side by side, a column an instruction, then what moved, for a terminal."""
    lines = [f"{colour.paint('text', 'bold', on=on)}: {terminal.printable(found.text)}"]
    if not found.trained:
        lines.append(
            colour.paint(
                "this embedder was not trained on instructions: they are read as words before the text", "soft", on=on
            )
        )
    base = {token.token_id for token in found.variants[0].example.key_tokens}
    for number, variant in enumerate(found.variants):
        name = f"instruction {number}: {variant.instruction}" if number else "no instruction"
        shared = f"  (Jaccard with no instruction {variant.jaccard:.2f})" if number else ""
        lines.append(f"\n{colour.paint(name, 'bold', on=on)}{shared}")
        lines.append(
            "  "
            + "  ".join(
                ("" if on or token.token_id in base else "+")
                + colour.paint(
                    terminal.token_name(token.token), "soft" if token.token_id in base and number else "own", on=on
                )
                for token in variant.example.key_tokens
            )
        )
        for label, moved, style in (("risen ", variant.risen, "up"), ("fallen", variant.fallen, "down")):
            if moved:
                cells = [f"{terminal.token_name(one.token)} {one.after - one.before:+.3f}" for one in moved]
                lines.append(f"  {label}  " + "  ".join(colour.paint(cell, style, on=on) for cell in cells))
    if not on:
        lines.append("\n+ is a key token only under the instruction")
    return "\n".join(lines)
