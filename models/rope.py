"""Rotary frequencies from a configuration's `rope_parameters`."""

import math
from collections.abc import Mapping
from typing import Any

from keytokens.models.errors import ModelError

# Parameter names per type; another one present means a variant that is not implemented.
_USED = {
    "default": {"rope_theta"},
    "linear": {"rope_theta", "factor"},
    "llama3": {
        *("rope_theta", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    },
}
# Old and new spellings that repeat the type.
_REPEATED = {"rope_type", "type"}


def rotary_frequencies(head_dim: int, parameters: Mapping[str, Any]) -> tuple[float, ...]:
    """Radians per position of each of the head_dim / 2 planes.

    Args:
      head_dim: size of one head.
      parameters: as AutoConfig of transformers 5 gives them, also for files that say `rope_theta` and `rope_scaling`.

    Raises:
      ModelError: a rotary type or parameter that is not implemented.
    """
    kind = parameters.get("rope_type", "default")
    if kind not in _USED:
        raise ModelError(f"rope_type={kind!r} is not implemented; {', '.join(_USED)} are.")
    if unknown := parameters.keys() - _USED[kind] - _REPEATED:
        raise ModelError(f"rope parameters {sorted(unknown)} are not known for rope_type={kind!r}.")
    plain = [parameters["rope_theta"] ** (-2 * i / head_dim) for i in range(head_dim // 2)]
    if kind == "linear":
        return tuple(frequency / parameters["factor"] for frequency in plain)
    if kind == "llama3":
        return tuple(_llama3(frequency, parameters) for frequency in plain)
    return tuple(plain)


def _llama3(frequency: float, parameters: Mapping[str, Any]) -> float:
    """LLaMA 3.1: long waves are slowed by `factor`, short ones kept, those between interpolated."""
    low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
    turns = parameters["original_max_position_embeddings"] * frequency / (2 * math.pi)
    kept = min(max((turns - low) / (high - low), 0.0), 1.0)
    return kept * frequency + (1 - kept) * frequency / parameters["factor"]
