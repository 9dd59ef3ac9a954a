"""Which implementation `None` takes: the fastest of those proven on the device, from a table of measurements.

`tests/benchmarks/kernel.py` measures what the table rests on; no unproven implementation may stand in it.
"""

import jax

from keytokens.kernels.cpu_ffi import instructions, library

# Linux lists bfloat16 matmul units under these names. Without them XLA widens bfloat16 and its matmul is slower than
# float32 (measured on a Cascade Lake Xeon: 1.2 x the time of float32; with AVX512-BF16, on Zen 5: 0.5 x).
BFLOAT16_UNITS = {"avx512_bf16", "amx_bf16", "bf16", "sme"}

# From which V / k upwards "screened" beats "xla": it scores some hundreds of tokens exactly, one by one, which a matmul
# that is twice as fast must first earn. Times the matmul, "screened" against "xla", at B = 128 and 1,024 (2026-11-29):
# V / k = 503: 0.62 to 0.91 against 0.98 to 1.08; 593 and more: 0.60 to 0.88 against 1.02 to 1.13; but 305 and 320: 0.71
# to 1.35 against 0.95 to 1.13, and 196: 1.01 and 1.45 against 1.15 and 1.08.
SCREENED_TOKENS_PER_K = 400


def choose(*, k: int, vocabulary: int, with_logsumexp: bool, prepared_for: str | None) -> str:
    """The name of the implementation for these sizes on the default device.

    | device, head prepared there    | sizes                           | implementation |
    |---|---|---|
    | CPU with AVX2, library built   | all                             | cpu_ffi        |
    | CPU with bfloat16 units        | V / k >= 400, no logsumexp      | screened       |
    | everything else                |                                 | xla            |
    """
    if prepared_for is None or prepared_for != fastest_preparation():
        return "xla"
    if prepared_for == "screened" and (with_logsumexp or vocabulary < SCREENED_TOKENS_PER_K * k):
        return "xla"
    return prepared_for


def fastest_preparation() -> str | None:
    """For which implementation a head is best prepared on the default device; None where the head itself is best."""
    if jax.default_backend() != "cpu":
        return None
    if library.is_fast():
        return "cpu_ffi"
    # Where nothing is known of the CPU, "xla" is right.
    return "screened" if BFLOAT16_UNITS & instructions.cpu_flags() else None
