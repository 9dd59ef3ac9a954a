"""A family: how its configurations become Specs, and the names that its checkpoints give to our parameters."""

import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import Any

from keytokens.models.config_attributes import Attributes
from keytokens.models.spec import Spec

# Our module -> the checkpoint's; several alternatives in a tuple.
Names = Mapping[str, str | tuple[str, ...]]


class Split(enum.Enum):
    """How a matrix [out, in] is divided among devices."""

    ROWS = "rows"
    COLUMNS = "columns"


# One exchange per part: what q, k, v, gate and up make is divided as o and down read it. Tables are divided by width,
# since vocabularies rarely divide.
PARTITION: Mapping[str, Split] = {
    **dict.fromkeys(("q", "k", "v", "gate", "up"), Split.ROWS),
    **dict.fromkeys(("o", "down", "embed", "position", "head"), Split.COLUMNS),
}


def _lm_head() -> Names:
    return {"head": "lm_head"}


@dataclasses.dataclass(frozen=True)
class Family:
    """One visible table per family.

    Attributes:
      spec: configuration -> Spec.
      names: of the transformer's modules, those of a block without the block's prefix.
      layer: what stands before the names of a block's modules; {} is its number.
      roots: prefixes that checkpoints of this family put before everything, or leave out.
      head_names: of the modules of the LM head.
      decoder_names: of the decoder's modules, by their way inside a block.
      decoder_layer: what stands before the names of a decoder block's modules.
      causal_attribute: True for causal -> the configuration's attribute and its value; None where attention is always
        bidirectional.
      ignored_attributes: of the configuration, without influence on hidden states.
      fixed_attributes: of the configuration, implemented for one value only.
      partition: of our modules, over the devices of a mesh; others are on every device.
      ignored_tensors: regular expressions of tensors without a place here (poolers, caches), after the root.
    """

    spec: Callable[[Attributes], Spec]
    names: Names
    layer: str
    roots: tuple[str, ...]
    head_names: Names = dataclasses.field(default_factory=_lm_head)
    decoder_names: Names = dataclasses.field(default_factory=dict)
    decoder_layer: str = ""
    causal_attribute: Callable[[bool], tuple[str, Any]] | None = None
    ignored_attributes: frozenset[str] = frozenset()
    fixed_attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    partition: Mapping[str, Split] = dataclasses.field(default_factory=lambda: PARTITION)
    ignored_tensors: tuple[str, ...] = ()
