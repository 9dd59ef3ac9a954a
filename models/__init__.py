"""Embedders and their backbones: architectures, checkpoints, tokenising, pooling, LM heads, the registry."""

import importlib
from typing import TYPE_CHECKING, Any

from keytokens.models.embedder_config import EmbedderConfig
from keytokens.models.errors import ModelError
from keytokens.models.recipe import POOLINGS, Recipe
from keytokens.models.registry import registry_rows
from keytokens.models.spec import Spec
from keytokens.models.token_strings import render_token
from keytokens.models.tokenizing import Tokens
from keytokens.models.zoo import ZOO

if TYPE_CHECKING:
    from keytokens.models.embedder import (
        Embedder,
        SpecialTokens,
        load_embedder,
        read_special_tokens,
        read_token_strings,
    )
    from keytokens.models.families import FAMILIES
    from keytokens.models.head import Head
    from keytokens.models.ops import XLA, Join, Map, Ops, Sight, xla_attend
    from keytokens.models.read import read_embedder
    from keytokens.models.sharding import batch_sharding, make_mesh, place_on_mesh

__all__ = [
    "FAMILIES",
    "POOLINGS",
    "XLA",
    "ZOO",
    "Embedder",
    "EmbedderConfig",
    "Head",
    "Join",
    "Map",
    "ModelError",
    "Ops",
    "Recipe",
    "Sight",
    "Spec",
    "SpecialTokens",
    "Tokens",
    "batch_sharding",
    "load_embedder",
    "make_mesh",
    "place_on_mesh",
    "read_embedder",
    "read_special_tokens",
    "read_token_strings",
    "registry_rows",
    "render_token",
    "xla_attend",
]

# What needs JAX and Flax, by the module that has it: imported when first asked for, since the two take 1.2 s, which a
# program that prints its --help, lists models or reads a store need not spend.
_LATER = {
    "Embedder": "embedder",
    "SpecialTokens": "embedder",
    "load_embedder": "embedder",
    "read_special_tokens": "embedder",
    "read_token_strings": "embedder",
    "FAMILIES": "families",
    "Head": "head",
    "XLA": "ops",
    "Join": "ops",
    "Map": "ops",
    "Ops": "ops",
    "Sight": "ops",
    "xla_attend": "ops",
    "read_embedder": "read",
    "batch_sharding": "sharding",
    "make_mesh": "sharding",
    "place_on_mesh": "sharding",
}


def __getattr__(name: str) -> Any:
    """A name of `_LATER`."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
