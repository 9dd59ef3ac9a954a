"""Which implementation `None` takes: the fastest of those proven on the device, from a table of measurements.

`tests/benchmarks/kernel.py` measures what the table rests on; no unproven implementation may stand in it.
"""

import jax

from keytokens.kernels.cpu_ffi import instructions, library

# Linux lists bfloat16 matmul units under these names. Without them XLA widens bfloat16 and its matmul is slower than
# float32 (measured on a Cascade Lake Xeon: 1.2 x the time of float32; with AVX512-BF16, on Zen 5: 0.5 x).
BFLOAT16_UNITS = {"avx512_bf16", "amx_bf16", "bf16", "sme"}

# From which V / k upwards "screened" beats "xla": it scores some hundreds of tokens exactly, one by one, which a matmul
# that is twice as fast must first earn. (Measured at B = 128: "screened" 0.88 and 0.90 of the matmul, "xla" 1.05, at
# V / k = 196; 1.27 against 1.02 at 125.)
SCREENED_TOKENS_PER_K = 190


def choose(*, k: int, vocabulary: int, with_logsumexp: bool, prepared_for: str | None) -> str:
    """The name of the implementation for these sizes on the default device.

    | device, head prepared there    | sizes                           | implementation |
    |---|---|---|
    | CPU with AVX2, library built   | all                             | cpu_ffi        |
    | CPU with bfloat16 units        | V / k >= 190, no logsumexp      | screened       |
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
