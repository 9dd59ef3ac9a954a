"""How gradients become steps: Muon for matrices, AdamW for everything else; warm-up, then a cosine."""

import dataclasses
from typing import Any

import jax
import optax


@dataclasses.dataclass(frozen=True)
class Rates:
    """How fast is learned.

    Attributes:
      matrices: Muon's peak learning rate for the linear layers; 0 trains them by AdamW like the rest.
      others: AdamW's peak learning rate, of embeddings and norms, or of all.
      warmup: steps until the peak.
      weight_decay: AdamW's.
    """

    matrices: float
    others: float
    warmup: int
    weight_decay: float = 0.0


def make_optimizer(rates: Rates, *, steps: int) -> optax.GradientTransformation:
    """The optimizer of a training of `steps` steps.

    Muon (Jordan, 2024; arXiv 2502.16982) orthogonalises the momentum of a matrix. It is for the insides of a
    transformer: the token table, whose rows are mostly untouched by a batch, stays with Adam.
    """
    adam = _schedule(rates.others, rates.warmup, steps)
    if not rates.matrices:
        return _clipped(optax.adamw(adam, b2=0.98, weight_decay=rates.weight_decay))
    return _clipped(
        optax.contrib.muon(
            _schedule(rates.matrices, rates.warmup, steps),
            adam_learning_rate=adam,
            adam_b2=0.98,
            adam_weight_decay=rates.weight_decay,
            muon_weight_dimension_numbers=_matrices,
        )
    )


def _clipped(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(1.0), optimizer)


def _schedule(peak: float, warmup: int, steps: int) -> optax.Schedule:
    warmup = min(warmup, max(1, steps // 2))
    return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, max(steps, warmup + 1), peak / 50)


def _matrices(params: Any) -> Any:
    """Per parameter: which axis is summed over ([out, in]: the last), or None where Adam serves it."""
    numbers = optax.contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=0)

    def of(path: tuple[Any, ...], leaf: jax.Array) -> Any:
        return numbers if leaf.ndim == 2 and "embed" not in jax.tree_util.keystr(path) else None

    return jax.tree_util.tree_map_with_path(of, params)
