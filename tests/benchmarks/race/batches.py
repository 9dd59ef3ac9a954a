"""Which texts do rivals compute together? The best that is known for them: sorted by length, under a token budget."""

from collections.abc import Sequence


def sorted_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Positions that compute together, shortest texts first.

    Args:
      lengths: tokens of each text.
      budget: at most this many positions a batch, padding included; a longer text is a batch of its own.
    """
    batches: list[list[int]] = []
    current: list[int] = []
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        if current and (len(current) + 1) * lengths[position] > budget:
            batches.append(current)
            current = []
        current.append(position)
    return [*batches, current] if current else batches


def computed_tokens(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> int:
    """Positions computed, padding included."""
    return sum(len(batch) * max(lengths[position] for position in batch) for batch in batches)
