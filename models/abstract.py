"""Modules without weights: their graph, to be merged with parameters, and the parameters' shapes."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import nnx

from keytokens.models.head import HeadTransform
from keytokens.models.ops import XLA, Ops
from keytokens.models.spec import Spec
from keytokens.models.transformer import Transformer


class Abstract(NamedTuple):
    """A module that allocates nothing.

    Attributes:
      graph: of `nnx.merge(graph, parameters)`.
      shapes: nested dict of jax.ShapeDtypeStruct.
    """

    graph: Any
    shapes: dict[Any, Any]


# A large model takes a second, and reading, loading and embedding each ask for it.
@functools.lru_cache(maxsize=32)
def abstract_transformer(spec: Spec, ops: Ops = XLA) -> Abstract:
    """The transformer of the Spec, computing with these operations; shapes are those of unpacked weights."""
    return _abstract(lambda: Transformer(spec, rngs=None, ops=ops))


@functools.lru_cache(maxsize=32)
def abstract_head_transform(spec: Spec) -> Abstract:
    """What stands before the vocabulary in the head of the Spec."""
    return _abstract(lambda: HeadTransform(spec, rngs=None))


def _abstract(make: Callable[[], nnx.Module]) -> Abstract:
    graph, state = nnx.split(nnx.eval_shape(make))
    return Abstract(graph, nnx.to_pure_dict(state))


def num_parameters(spec: Spec) -> int:
    """How many numbers the transformer has, a tied head counted once and an untied one with it."""
    body = sum(leaf.size for leaf in jax.tree.leaves(abstract_transformer(spec).shapes))
    return body if spec.head.tied else body + spec.vocab * spec.embed_width
