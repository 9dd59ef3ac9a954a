"""Embedders and their backbones: architectures, checkpoints, tokenising, pooling, LM heads, the registry."""

from keytokens.models.embedder import (
    Embedder,
    SpecialTokens,
    load_embedder,
    read_special_tokens,
    read_token_strings,
)
from keytokens.models.embedder_config import EmbedderConfig
from keytokens.models.errors import ModelError
from keytokens.models.families import FAMILIES
from keytokens.models.head import Head
from keytokens.models.ops import XLA, Ops, Sight, xla_attend
from keytokens.models.pooling import POOLINGS
from keytokens.models.read import read_embedder
from keytokens.models.recipe import Recipe
from keytokens.models.registry import registry_rows
from keytokens.models.sharding import batch_sharding, make_mesh, place_on_mesh
from keytokens.models.spec import Spec
from keytokens.models.token_strings import render_token
from keytokens.models.tokenizing import Tokens
from keytokens.models.zoo import ZOO

__all__ = [
    "FAMILIES",
    "POOLINGS",
    "XLA",
    "ZOO",
    "Embedder",
    "EmbedderConfig",
    "Head",
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
