"""An `Embedder`: weights, tokenizer and head, and the pure function from token ids to embeddings.

Letters: B texts, T tokens, D hidden size, V vocabulary.
"""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from keytokens.models import loading
from keytokens.models.abstract import abstract_head_transform, abstract_transformer
from keytokens.models.embedder_config import EmbedderConfig
from keytokens.models.errors import ModelError
from keytokens.models.head import Head
from keytokens.models.ops import XLA, Ops
from keytokens.models.pooling import pool, pool_packed
from keytokens.models.recipe import Recipe
from keytokens.models.spec import Spec
from keytokens.models.token_strings import token_strings
from keytokens.models.tokenizing import TextTokenizer, Tokens, read_tokenizer

Params = Mapping[str, Any]


class Embedder:
    """A loaded embedder. `embed` and `head_transform` are pure: jit them, and pass `params` in.

    Attributes:
      config: which embedder.
      params: nested dict of arrays; "body" is the transformer's, "transform" the head's.
      head: the LM head.
      token_strings: V strings, one per vocabulary entry.
      pad_id: a token id to fill batches with; its value never matters.
      special_ids: ids that are no text.
    """

    def __init__(
        self, config: EmbedderConfig, *, params: Params, head: Head, tokenizer: Any, head_spec: Spec, ops: Ops = XLA
    ):
        self.config = config
        self.params = params
        self.head = head
        self.token_strings = token_strings(tokenizer, config.vocab_size)
        self.pad_id = int(tokenizer.pad_token_id) if tokenizer.pad_token_id is not None else 0
        self.special_ids = frozenset(int(token_id) for token_id in tokenizer.all_special_ids)
        self._tokenizer = tokenizer
        self._documents = TextTokenizer(tokenizer, config.recipe)
        self._queries = TextTokenizer(tokenizer, config.recipe, query=True)
        self._graph = abstract_transformer(config.spec, ops).graph
        self._transform = abstract_head_transform(head_spec).graph if "transform" in params else None

    def tokenize(self, texts: Sequence[str], *, query: bool = False) -> list[Tokens]:
        """The tokens of each text: prompt, special tokens and truncation as the recipe says."""
        return self._queries(texts) if query else self._documents(texts)

    def with_recipe(self, recipe: Recipe) -> "Embedder":
        """The same weights, reading texts by another prompt, brackets or length.

        Raises:
          ModelError: another pooling or attention, which are compiled in, or a recipe that does not fit the tokenizer.
        """
        own = self.config.recipe
        if (recipe.pooling, recipe.attention) != (own.pooling, own.attention):
            raise ModelError(
                f"pooling {recipe.pooling!r} and attention {recipe.attention!r} are not those this embedder was loaded "
                f"with, {own.pooling!r} and {own.attention!r}; load it again."
            )
        other = copy.copy(self)
        other.config = dataclasses.replace(self.config, recipe=recipe)
        other._documents = TextTokenizer(self._tokenizer, recipe)
        other._queries = TextTokenizer(self._tokenizer, recipe, query=True)
        return other

    def embed(self, params: Params, token_ids: jax.Array, mask: jax.Array, pooled: jax.Array) -> jax.Array:
        """Embeddings, float32 [B, D], not normalised.

        Args:
          params: `self.params`.
          token_ids: int32 [B, T].
          mask: bool [B, T], False where padded, on either side.
          pooled: bool [B, T], True for tokens that count.

        Returns:
          Zeros for a row that is padding only; NaN for one whose tokens are none of them pooled.
        """
        body = nnx.merge(self._graph, params["body"])
        segments = mask.astype(jnp.int32)
        if self.config.recipe.pooling == "decoder":
            return jnp.where(mask.any(1, keepdims=True), body.first_step(token_ids, segments), 0.0)
        states = body(token_ids, segments)
        return pool(states, mask, pooled, pooling=self.config.recipe.pooling)

    def embed_packed(
        self, params: Params, token_ids: jax.Array, segments: jax.Array, pooled: jax.Array, *, num_texts: int
    ) -> jax.Array:
        """Embeddings of texts that share rows, float32 [num_texts, D], not normalised; zeros for numbers not in use.

        Args:
          params: `self.params`.
          token_ids: int32 [B, T].
          segments: int32 [B, T], the number of the text, from 1, that a token belongs to; 0 is padding. A text's tokens
            stand side by side in one row.
          pooled: bool [B, T], True for tokens that count.
          num_texts: the largest number; static.

        Raises:
          ValueError: the recipe's pooling is "decoder", which reads a text a row.
        """
        pooling = self.config.recipe.pooling
        if pooling == "decoder":
            raise ValueError("pooling='decoder' reads one text a row: use embed.")
        body = nnx.merge(self._graph, params["body"])
        return pool_packed(body(token_ids, segments), segments, pooled, pooling=pooling, num_texts=num_texts)

    def head_transform(self, params: Params, hidden: jax.Array) -> jax.Array:
        """What the head's matrix is applied to, [B, D]: `hidden`, or a masked language model's transform of it."""
        if self._transform is None:
            return hidden
        return nnx.merge(self._transform, params["transform"])(hidden)


def load_embedder(
    config: EmbedderConfig, *, place: loading.Place = loading.on_default_device, ops: Ops = XLA
) -> Embedder:
    """Reads weights and tokenizer.

    Args:
      config: from `read_embedder`.
      place: puts each parameter where it belongs; by default on the default device.
      ops: what the blocks compute with.

    Raises:
      ModelError: the files have changed since the configuration was read, or cannot be read; or the dtype is "int16",
        and `ops` does not multiply integers.
    """
    recipe = config.recipe
    if (config.dtype == "int16") != (ops.pack is not None):
        raise ModelError(
            f"dtype={config.dtype!r} does not fit these operations: 'int16' needs some that pack weights into integers "
            "(keytokens.pipelines.arithmetic has them), the other dtypes XLA's own."
        )
    plan = loading.plan_loading(
        config.body_directory,
        adapters=config.adapters,
        attention=recipe.attention,
        decoder=recipe.pooling == "decoder",
    )
    place_body = place if ops.pack is None else loading.packed(ops.pack, place)
    body = loading.read_parameters(plan.body, config.dtype, place_body, adapters=plan.adapters)["body"]
    if config.head_directory is None:
        head_plan, embedding = plan, body["embed"]["weight"]
    else:
        head_plan, embedding = loading.plan_loading(config.head_directory), None
    if head_plan.head is None:
        raise ModelError(missing_head(config.head_directory or config.directory))
    loading.check_tied_copies(head_plan)
    parts = loading.read_parameters(head_plan.head, config.dtype, place, adapters=head_plan.adapters).get("head", {})
    matrix = parts.get("head", {})
    weight = matrix.get("weight", embedding)
    if weight is None:
        weight = _read_embedding(head_plan, config.dtype, place)
    spec = head_plan.spec.head
    head = Head(weight, matrix.get("bias"), spec.scale, spec.softcap)
    params = {"body": body} | ({"transform": parts["transform"]} if "transform" in parts else {})
    return Embedder(
        config,
        params=params,
        head=head,
        tokenizer=read_tokenizer(config.tokenizer_directory),
        head_spec=head_plan.spec,
        ops=ops,
    )


def missing_head(directory: str) -> str:
    """What to say of a checkpoint that was saved without its LM head."""
    return (
        f"{directory} was saved without an LM head, and its config.json does not tie the head to the word embeddings, "
        "so nothing decodes its vectors. Give the generative model that it was trained from as head=..."
    )


def _read_embedding(plan: loading.Plan, dtype: str, place: loading.Place) -> jax.Array:
    """The word embeddings of a checkpoint whose head is tied to them."""
    path = ("body", "embed", "weight")
    only = loading.parameters.Assignment({path: plan.body.sources[path]}, plan.body.tensors, ())
    return loading.read_parameters(only, dtype, place)["body"]["embed"]["weight"]


class SpecialTokens(NamedTuple):
    """Ids that are no text.

    Attributes:
      before: what the tokenizer puts before every text, without any prompt.
      after: and behind it, an end token of the recipe included.
      special: all of the vocabulary.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    special: tuple[int, ...]


def read_special_tokens(config: EmbedderConfig) -> SpecialTokens:
    """The special tokens of an embedder, without reading weights."""
    tokenizer = read_tokenizer(config.tokenizer_directory)
    bare = dataclasses.replace(config.recipe, prompt="", query_prompt=None)
    if bare.pooling == "mask":  # which needs a prompt
        bare = dataclasses.replace(bare, pooling="mean")
    (around,) = TextTokenizer(tokenizer, bare)(["a"])
    first, last = around.text.argmax(), len(around.text) - around.text[::-1].argmax()
    return SpecialTokens(
        tuple(around.ids[:first].tolist()),
        tuple(around.ids[last:].tolist()),
        tuple(sorted(set(map(int, tokenizer.all_special_ids)))),
    )


def read_token_strings(config: EmbedderConfig) -> list[str]:
    """One string per row of the head, without reading weights."""
    return token_strings(read_tokenizer(config.tokenizer_directory), config.vocab_size)
