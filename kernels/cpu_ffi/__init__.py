"""Kernels in C++ as XLA FFI handlers, for CPUs. Optional, built only when asked.

    python -m keytokens.kernels.cpu_ffi.build    # builds them in place, twenty seconds, needs a C++17 compiler

- linear: maps and feed-forward layers by products of 16-bit integers, what embedders of dtype "int16" multiply by, and
  join: the residual and the norm that follow them in the same call;
- attention: of texts that share a row, each by itself;
- topk: implementation "cpu_ffi" of `aligned_topk`, certified int8 screening, which is:

Head and texts are rounded to int8 with one step size each. With h' and e' the rounded vectors, by Cauchy and Schwarz

    | <h, e> - <h', e'> |  <=  |h'| |e - e'| + |h - h'| |e|,

so an integer matmul, four times the rate of float32 on CPUs with VNNI, gives an upper bound of every logit. A sixteenth
of the vocabulary is multiplied first, to guess a threshold that a few times k tokens reach. Those that do are scored in
float32, the largest bound first, until the k-th best score exceeds the next bound. It proves itself the answer if it
reaches the threshold, too, below which nothing was kept; rows where it does not are redone.

The screening is plain C++ but for one loop, which uses AVX512-VNNI where the CPU has it; elsewhere it is correct and
slow, and `None` does not take it.
"""
