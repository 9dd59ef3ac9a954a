"""Weights from a checkpoint into parameters, tensor by tensor, after everything has been found to fit."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import ml_dtypes
import numpy as np

from keytokens.models import lora, parameters
from keytokens.models.abstract import abstract_transformer
from keytokens.models.checkpoint import open_checkpoint
from keytokens.models.configuration import read_config, read_spec
from keytokens.models.errors import ModelError, raise_together
from keytokens.models.families import Family
from keytokens.models.spec import Spec
from keytokens.models.stored import unreadable

# An embedder's dtype -> what its matrices are read in. Of "int16" embedders the blocks' linear maps are packed into
# integers afterwards, by the `Ops` that multiply with them; head and tables stay float32.
DTYPES = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "int16": np.dtype(np.float32),
}
# Where a parameter goes: its path and host value -> an array on devices.
Place = Callable[[parameters.Path, np.ndarray], jax.Array]


@dataclasses.dataclass(frozen=True)
class Plan:
    """A checkpoint that fits: what is read into what.

    Attributes:
      directory: of the checkpoint.
      model_type: of its configuration.
      family: whose names it follows.
      spec: of the transformer.
      body: sources of the transformer's parameters.
      head: sources of the head's, or None where the checkpoint has no head.
      adapters: added to the weights, in this order.
    """

    directory: str
    model_type: str
    family: Family
    spec: Spec
    body: parameters.Assignment
    head: parameters.Assignment | None
    adapters: tuple[lora.Adapter, ...] = ()


def plan_loading(
    directory: str, *, adapters: Sequence[str] = (), attention: str = "checkpoint", decoder: bool = False
) -> Plan:
    """What fills which parameter; reads headers only.

    Args:
      directory: with config.json and weights.
      adapters: directories of LoRA adapters over these weights.
      attention: "causal" or "bidirectional" against the configuration.
      decoder: whether an encoder-decoder's decoder is wanted.

    Raises:
      ModelError: missing, misshapen, unreadable and surplus tensors, all at once.
    """
    config = read_config(directory)
    family, spec = read_spec(directory, config, attention=attention, decoder=decoder)
    stored = open_checkpoint(directory)
    shapes = {("body", *path): shape for path, shape in _flat(abstract_transformer(spec).shapes)}
    body = parameters.assign(family, shapes, stored)
    head, problems = _plan_head(family, spec, body)
    opened = [lora.open_adapter(adapter, family, body.tensors) for adapter in adapters]
    raise_together(
        [
            *body.problems,
            *problems,
            *(problem for name in _tied_copies(family, spec, body) for problem in unreadable(name, body.tensors[name])),
            *(problem for _, misfits in opened for problem in misfits),
        ],
        where=f"the checkpoint {directory}",
        cure=(
            "Its weights are not those of its config.json: check that both come from the same revision, and that it is "
            "a plain checkpoint (not quantised), and that adapters were trained over it and no other."
        ),
    )
    return Plan(str(directory), config.model_type, family, spec, body, head, tuple(adapter for adapter, _ in opened))


def check_tied_copies(plan: Plan) -> None:
    """Some checkpoints store a tied head once more; it must be the word embeddings.

    Raises:
      ModelError: it is not, so config.json and weights contradict each other.
    """
    embedding = plan.body.sources["body", "embed", "weight"]
    for name in _tied_copies(plan.family, plan.spec, plan.body):
        if not np.array_equal(plan.body.tensors[name].read(), plan.body.tensors[embedding].read()):
            raise ModelError(
                f"{plan.directory}: config.json ties the head to the word embeddings, but {name} differs from "
                f"{embedding}. Set tie_word_embeddings to false if the head was trained apart; else delete {name}."
            )


def _tied_copies(family: Family, spec: Spec, body: parameters.Assignment) -> list[str]:
    """Tensors that repeat the word embeddings as the head that is tied to them."""
    names = parameters.candidates(family, ("head", "head", "weight")) if spec.head.tied else []
    return [name for name in names if name in body.tensors]


def _flat(tree: Mapping[Any, Any]) -> Any:
    return parameters.flatten(tree).items()


def _plan_head(
    family: Family, spec: Spec, body: parameters.Assignment
) -> tuple[parameters.Assignment | None, list[str]]:
    """The head that the checkpoint has: transform and bias as far as it holds any of their tensors."""
    names = body.tensors.keys()

    def holds(shapes: dict[str, Any]) -> bool:
        return any(set(parameters.candidates(family, ("head", *path))) & names for path, _ in _flat(shapes))

    full = parameters.head_shapes(spec, transform=spec.head.transform, bias=spec.head.bias)
    if not holds(full):
        # Saved without its head: tied word embeddings still decode, an untied head has to come from elsewhere.
        return (parameters.Assignment({}, body.tensors, ()), []) if spec.head.tied else (None, [])
    found = parameters.assign(
        family, {("head", *path): shape for path, shape in _flat(full)}, dict(body.tensors), check_surplus=False
    )
    return found, list(found.problems)


def read_parameters(
    assignment: parameters.Assignment, dtype: str, place: Place, *, adapters: Sequence[lora.Adapter] = ()
) -> dict[Any, Any]:
    """The parameters as a nested dict of arrays: matrices in `dtype`, vectors in float32.

    One tensor is in host memory at a time. Adapters are added in float32, before rounding.
    """
    leaves = {}
    for path, name in assignment.sources.items():
        value = assignment.tensors[name].read()
        for adapter in adapters:
            if (delta := adapter.delta(name)) is not None:
                value = value.astype(np.float32) + delta
        leaves[path] = place(path, value.astype(DTYPES[dtype] if value.ndim > 1 else np.float32, copy=False))
    return parameters.unflatten(leaves)


def packed(pack: Callable[[np.ndarray], np.ndarray], place: Place) -> Place:
    """Places what `pack` makes of the weights of the blocks' linear maps, and all other parameters as they are."""

    def place_packed(path: parameters.Path, value: np.ndarray) -> jax.Array:
        is_linear = path[:2] == ("body", "layers") and path[-1] == "weight" and value.ndim == 2
        return place(path, pack(np.asarray(value, np.float32)) if is_linear else value)

    return place_packed


def on_default_device(path: parameters.Path, value: np.ndarray) -> jax.Array:
    """Places a parameter on the default device."""
    del path
    # jnp.asarray would compile a copy of each shape: eight of them, 0.1 s, in MiniLM.
    return jax.device_put(value)
