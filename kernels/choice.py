"""Which implementation `None` takes: the fastest of those proven on the device, from a table of measurements.

`tests/benchmarks/kernel.py` measures the table's thresholds; no unproven implementation may stand in it.
"""

import functools
import pathlib

import jax

# Linux lists bfloat16 matmul units under these names. Without them XLA widens bfloat16 and its matmul is slower than
# float32 (measured on a Cascade Lake Xeon: 1.2 x the time of float32; with AVX512-BF16, on Zen 5: 0.5 x).
BFLOAT16_UNITS = {"avx512_bf16", "amx_bf16", "bf16", "sme"}
# Screening scores 2 k + 32 tokens exactly, one by one; measured at V / k = 30, that alone costs two matmuls.
SCREENING_TOKENS_PER_K = 250


def choose(*, k: int, vocabulary: int, with_logsumexp: bool, has_columns: bool) -> str:
    """The name of the implementation for these sizes on the default device.

    | device                                | k, options                        | implementation |
    |---|---|---|
    | CPU with bfloat16 units, head prepared | V / k >= 250, without logsumexp  | screened       |
    | everything else                       |                                   | xla            |
    """
    if has_columns and screening_is_fastest() and not with_logsumexp and vocabulary >= SCREENING_TOKENS_PER_K * k:
        return "screened"
    return "xla"


def screening_is_fastest() -> bool:
    """Whether the default device is a CPU that multiplies bfloat16 twice as fast as float32."""
    return jax.default_backend() == "cpu" and _cpu_has_bfloat16_units()


@functools.cache
def _cpu_has_bfloat16_units() -> bool:
    try:
        description = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux: nothing is known, and "xla" is right everywhere
        return False
    flags = [line.split(":", 1)[1] for line in description.splitlines() if line.startswith(("flags", "Features"))]
    return bool(flags) and bool(BFLOAT16_UNITS.intersection(flags[0].split()))
