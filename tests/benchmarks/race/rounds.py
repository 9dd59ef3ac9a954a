"""In which order do contestants run, and what do their times say? Plain arithmetic, no model and no library."""

import dataclasses
import random
import statistics
from collections.abc import Mapping, Sequence

Times = Mapping[str, Sequence[float]]  # contestant -> seconds of each round


@dataclasses.dataclass(frozen=True)
class Speed:
    """What one contestant's rounds say.

    Attributes:
      texts_per_sec: median over the rounds.
      slowest: texts/s of the slowest round.
      fastest: texts/s of the fastest round.
      ratios: against -> median over the rounds of its time divided by this one's in the same round; above 1, this one
        is faster.
    """

    texts_per_sec: float
    slowest: float
    fastest: float
    ratios: Mapping[str, float]


def turns(names: Sequence[str], num_rounds: int, *, seed: int = 0) -> list[list[str]]:
    """The order of each round: shuffled, the same for the same seed, so that nobody always follows the same one."""
    generator = random.Random(seed)
    return [generator.sample(list(names), len(names)) for _ in range(num_rounds)]


def fastest_of(times: Times, names: Sequence[str]) -> str | None:
    """The name with the least median time; None where none of them ran."""
    ran = [name for name in names if name in times]
    return min(ran, key=lambda name: statistics.median(times[name]), default=None)


def speeds(times: Times, num_texts: int, *, against: Sequence[str]) -> dict[str, Speed]:
    """The speed of every contestant; names in `against` that did not run give no ratio.

    Raises:
      ValueError: contestants ran different numbers of rounds, so that no ratio is of one round.
    """
    if len({len(seconds) for seconds in times.values()}) > 1:
        raise ValueError(
            f"rounds differ: { ({name: len(seconds) for name, seconds in times.items()}) }; a ratio of two contestants "
            "is taken within one round. Run every contestant in every round."
        )
    return {
        name: Speed(
            num_texts / statistics.median(seconds),
            num_texts / max(seconds),
            num_texts / min(seconds),
            {
                other: statistics.median(theirs / own for theirs, own in zip(times[other], seconds, strict=True))
                for other in against
                if other in times
            },
        )
        for name, seconds in times.items()
    }


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown: the first column to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
