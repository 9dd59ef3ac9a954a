"""Which texts a step trains on: a function of seed and step alone, so that a resumed run sees what it would have seen.

Letters: B texts, T tokens.
"""

from collections.abc import Sequence

import numpy as np


def epoch_order(count: int, *, seed: int, epoch: int) -> np.ndarray:
    """A permutation of `count` things, int64 [count]."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def batch_members(count: int, *, batch: int, seed: int, step: int) -> np.ndarray:
    """The members of a step's batch, int64 [batch]: epoch after epoch, each in an order of its own.

    Raises:
      ValueError: fewer things than a batch holds; a batch must not hold one twice.
    """
    _check_count(count, batch)
    per_epoch = count // batch
    order = epoch_order(count, seed=seed, epoch=step // per_epoch)
    first = step % per_epoch * batch
    return order[first : first + batch]


def batch_of_like_length(lengths: np.ndarray, *, batch: int, seed: int, step: int) -> np.ndarray:
    """The members of a step's batch, int64 [batch], nearly as long as each other: little is padded, epochs all differ.

    Args:
      lengths: int [count], of everything there is.
      batch: members.
      seed: of the choice.
      step: whose batch it is.

    Raises:
      ValueError: fewer things than a batch holds.
    """
    _check_count(len(lengths), batch)
    per_epoch = len(lengths) // batch
    epoch, place = divmod(step, per_epoch)
    order = epoch_order(len(lengths), seed=seed, epoch=epoch)[: per_epoch * batch]
    by_length = order[np.argsort(lengths[order], kind="stable")]
    first = np.random.default_rng((seed, epoch, 2)).permutation(per_epoch)[place] * batch
    return by_length[first : first + batch]


def windows(stream: np.ndarray, *, batch: int, length: int, seed: int, step: int) -> np.ndarray:
    """Windows of a token stream, int32 [batch, length + 1]: inputs and, one later, targets.

    Every epoch cuts the stream at another offset, so that windows begin in different places.

    Raises:
      ValueError: the stream is shorter than a batch.
    """
    per_epoch = (len(stream) - 1) // length - 1  # one window is given up to the offset
    if per_epoch < batch:
        raise ValueError(
            f"the corpus has {len(stream):,} tokens; a batch takes {batch} windows of {length}, so at least "
            f"{(batch + 1) * length + 1:,} are needed. Give more text, or a smaller batch."
        )
    epoch = step // (per_epoch // batch)
    offset = np.random.default_rng((seed, epoch, 1)).integers(length)
    members = batch_members(per_epoch, batch=batch, seed=seed, step=step)
    return np.stack([stream[start : start + length + 1] for start in offset + members * length])


def padded(rows: Sequence[np.ndarray], *, pad_id: int, multiple: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Token ids int32 [B, T] and mask bool [B, T]; T is the longest row, rounded up so that few programs compile."""
    longest = max(len(row) for row in rows)
    length = -(-longest // multiple) * multiple
    ids = np.full((len(rows), length), pad_id, np.int32)
    mask = np.zeros((len(rows), length), bool)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = True
    return ids, mask


def _check_count(count: int, batch: int) -> None:
    if count < batch:
        raise ValueError(f"a batch of {batch} needs at least as many texts or pairs; there are {count}.")
