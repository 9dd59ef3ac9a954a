"""A family: how its configurations become Specs, and the names that its checkpoints give to our parameters."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from keytokens.models.config_attributes import Attributes
from keytokens.models.spec import Spec


@dataclasses.dataclass(frozen=True)
class Family:
    """One visible table per family.

    Attributes:
      spec: configuration -> Spec.
      names: our module -> the checkpoint's, without root and layer; several alternatives in a tuple.
      layer: what stands before the names of a block's modules; {} is its number.
      roots: prefixes that checkpoints of this family put before everything, or leave out.
      head_names: the same for the modules of the LM head, which have no root.
      causal_attribute: True for causal -> the configuration's attribute and its value; None where attention is always
        bidirectional.
      ignored_attributes: of the configuration, without influence on hidden states.
      fixed_attributes: of the configuration, implemented for one value only.
      ignored_tensors: regular expressions of tensors without a place here (poolers, caches), after the root.
    """

    spec: Callable[[Attributes], Spec]
    names: Mapping[str, str | tuple[str, ...]]
    layer: str
    roots: tuple[str, ...]
    head_names: Mapping[str, str | tuple[str, ...]] = dataclasses.field(default_factory=lambda: {"head": "lm_head"})
    causal_attribute: Callable[[bool], tuple[str, Any]] | None = None
    ignored_attributes: frozenset[str] = frozenset()
    fixed_attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    ignored_tensors: tuple[str, ...] = ()
