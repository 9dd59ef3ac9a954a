"""Embedders and their backbones: architectures, checkpoints, tokenising, pooling, LM heads, the registry."""

from keytokens.models.embedder import Embedder, load_embedder, read_token_strings
from keytokens.models.embedder_config import EmbedderConfig
from keytokens.models.errors import ModelError
from keytokens.models.head import Head
from keytokens.models.pooling import POOLINGS
from keytokens.models.read import read_embedder
from keytokens.models.recipe import Recipe
from keytokens.models.token_strings import render_token
from keytokens.models.tokenizing import Tokens
from keytokens.models.zoo import ZOO

__all__ = [
    "POOLINGS",
    "ZOO",
    "Embedder",
    "EmbedderConfig",
    "Head",
    "ModelError",
    "Recipe",
    "Tokens",
    "load_embedder",
    "read_embedder",
    "read_token_strings",
    "render_token",
]
