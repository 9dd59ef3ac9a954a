"""Numbers as people read them: a true minus sign, thousands separated, words for what is no number."""

import math

_MINUS = "\u2212"


def number(value: float) -> str:
    """4 significant digits; integers, and the integer part of what is above 1,000, in full."""
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    whole = abs(value) >= 1000 or float(value).is_integer()
    return _signed(f"{value:,.0f}" if whole else f"{value:.4g}")


def percent(share: float) -> str:
    """A share of 1 as a percentage of 3 significant digits."""
    return "undefined" if math.isnan(share) else _signed(f"{100 * share:.3g}%")


def short(value: float) -> str:
    """For the tick of an axis: 1500 is 1.5k, 2000000 is 2M, 0.00001 is 1e-5."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return _signed(f"{value / size:.4g}{suffix}")
    text = f"{value:.4g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa}e{int(exponent)}"
    return _signed(text)


def _signed(text: str) -> str:
    return text.replace("-", _MINUS)
