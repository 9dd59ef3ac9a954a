"""Which instructions the C++ library is compiled for, and which of them this CPU has.

Every set gives the same bits. KEYTOKENS_CPU_INSTRUCTIONS names one to use instead of the best.
"""

import functools
import os
import pathlib
import platform
from typing import NamedTuple

OVERRIDE = "KEYTOKENS_CPU_INSTRUCTIONS"


class Instructions(NamedTuple):
    """A set of instructions.

    Attributes:
      name: of the set, and in the library's file name.
      machine: as `platform.machine()` calls it; None for those that have no set of their own.
      needed: what Linux lists of a CPU that has it.
      flags: of the compiler.
    """

    name: str
    machine: str | None
    needed: frozenset[str]
    flags: tuple[str, ...]


_AVX2 = frozenset({"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"})
_AVX512 = _AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni"}
# The best first.
ALL = (
    Instructions(
        "avx512",
        "x86_64",
        _AVX512,
        # All of these CPUs know prefetchw, whether or not a virtual machine lists it.
        ("-march=x86-64-v4", "-mavx512vnni", "-mprfchw", "-mprefer-vector-width=512"),
    ),
    Instructions("avx2", "x86_64", _AVX2, ("-march=x86-64-v3",)),
    Instructions("any", None, frozenset(), ()),
)


@functools.cache
def cpu_flags() -> frozenset[str]:
    """What Linux lists of this CPU; nothing elsewhere."""
    try:
        description = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    lists = [line.split(":", 1)[1] for line in description.splitlines() if line.startswith(("flags", "Features"))]
    return frozenset(lists[0].split()) if lists else frozenset()


def of_machine() -> tuple[Instructions, ...]:
    """Those that CPUs of this kind may have."""
    own = tuple(each for each in ALL if each.machine == platform.machine())
    return own or tuple(each for each in ALL if each.machine is None)


def usable() -> tuple[Instructions, ...]:
    """Those of this CPU, the best first, or the one that the environment names.

    Raises:
      ValueError: it names one that there is not, or that this CPU lacks.
    """
    present = tuple(each for each in of_machine() if each.needed <= cpu_flags())
    wanted = os.environ.get(OVERRIDE)
    if wanted is None:
        return present
    chosen = tuple(each for each in present if each.name == wanted)
    if not chosen:
        names = ", ".join(each.name for each in present)
        raise ValueError(f"{OVERRIDE}={wanted!r} is none of this CPU's sets of instructions: {names}. Unset it.")
    return chosen
