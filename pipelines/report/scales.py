"""Where a value stands on an axis, and which values deserve a tick. Plain arithmetic, no markup."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Scale:
    """An axis that maps [low, high] to pixels [start, end], linearly or by logarithm.

    Raises:
      ValueError: a range that is empty, not finite or, for a logarithm, not positive.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __post_init__(self):
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"axis range [{self.low}, {self.high}] must be finite and not empty: it has no scale.")
        if self.log and self.low <= 0:
            raise ValueError(f"axis range [{self.low}, {self.high}] has no logarithm: drop values <= 0, or log=False.")

    def __call__(self, value: float) -> float:
        """Pixels of a value; outside the range, those of the nearer end."""
        value = min(max(value, self.low), self.high)
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        share = ((math.log(value) if self.log else value) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """About five round values, 1, 2 or 5 times a power of ten; on a log axis powers of ten alone if enough."""
        return _log_ticks(self.low, self.high) if self.log else _linear_ticks(self.low, self.high)


def _linear_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        ticks = [factor * 10.0**exponent for exponent in exponents for factor in factors]
        inside = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(inside) >= 3:
            return inside[:: -(-len(inside) // 7)]
    return _linear_ticks(low, high)
