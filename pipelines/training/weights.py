"""Parameters to train: a language model from nothing, and LoRA matrices over one."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from keytokens.models.abstract import abstract_transformer
from keytokens.models.parameters import Path, flatten, unflatten
from keytokens.models.spec import Spec
from keytokens.models.transformer import Transformer

Params = Mapping[Any, Any]
# What PEFT calls all linear layers of a block.
_ADAPTED = ("q", "k", "v", "o", "gate", "up", "down")


def initial_parameters(spec: Spec, *, seed: int) -> dict[Any, Any]:
    """A transformer's parameters, float32: matrices N(0, 1/in), and 1/sqrt(2 L) of it where they write to the stream.

    (The last is GPT-2's: the variance of the residual stream then does not grow with depth.)
    """
    _, state = nnx.split(Transformer(spec, rngs=nnx.Rngs(seed)))
    leaves = flatten(nnx.to_pure_dict(state))
    depth = (2 * len(spec.layers)) ** -0.5
    return unflatten({path: leaf * depth if _writes(path) else leaf for path, leaf in leaves.items()})


def hidden_states(spec: Spec, params: Params, token_ids: jax.Array, mask: jax.Array, **noise: Any) -> jax.Array:
    """Last hidden states, float32 [B, T, D]; mask bool [B, T], False where padded."""
    return nnx.merge(abstract_transformer(spec).graph, params)(token_ids, mask.astype(jnp.int32), **noise)


def initial_lora(params: Params, *, rank: int, seed: int) -> dict[str, dict[str, jax.Array]]:
    """LoRA matrices (arXiv 2106.09685) for every linear layer of every block: A [r, in] random, B [out, r] zero.

    Raises:
      ValueError: a rank that is not below the smallest side of a matrix it adapts.
    """
    key = jax.random.key(seed)
    lora = {}
    for number, (path, weight) in enumerate(sorted(_adapted(params).items(), key=str)):
        out, size = weight.shape
        if rank >= min(out, size):
            raise ValueError(
                f"--lora_rank={rank} is no low rank of {out} x {size} matrices; give less, or 0 for all weights."
            )
        a = jax.random.normal(jax.random.fold_in(key, number), (rank, size)) * size**-0.5
        lora[_joined(path)] = {"a": a, "b": jnp.zeros((out, rank))}
    return lora


def merge_lora(params: Params, lora: Mapping[str, Mapping[str, jax.Array]], *, scale: float) -> dict[Any, Any]:
    """The parameters with scale * B A added."""
    leaves = flatten(params)
    for path in _adapted(params):
        half = lora[_joined(path)]
        leaves[path] = leaves[path] + scale * (half["b"] @ half["a"])
    return unflatten(leaves)


def adapted_paths(params: Params) -> dict[str, Path]:
    """Name in the LoRA tree -> the parameter it adapts."""
    return {_joined(path): path for path in _adapted(params)}


def _adapted(params: Params) -> dict[Path, Any]:
    return {
        path: leaf
        for path, leaf in flatten(params).items()
        if path[0] == "layers" and path[-2] in _ADAPTED and leaf.ndim > 1
    }


def _writes(path: Path) -> bool:
    return path[-1] == "weight" and path[-2] in ("o", "down")


def _joined(path: Path) -> str:
    return ".".join(map(str, path))
