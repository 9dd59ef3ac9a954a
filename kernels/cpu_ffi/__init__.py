"""Implementation "cpu_ffi": certified int8 screening in C++ as an XLA FFI handler. Optional, built only when asked.

    python -m keytokens.kernels.cpu_ffi.build    # builds it in place, ten seconds, needs a C++17 compiler

Head and texts are rounded to int8 with one step size each. With h' and e' the rounded vectors, by Cauchy and Schwarz

    | <h, e> - <h', e'> |  <=  |h'| |e - e'| + |h - h'| |e|,

so an integer matmul, four times the rate of float32 on CPUs with VNNI, gives an upper bound of every logit. A sixteenth
of the vocabulary is multiplied first, to guess a threshold that a few times k tokens reach. Those that do are scored in
float32, the largest bound first, until the k-th best score exceeds the next bound. It proves itself the answer if it
reaches the threshold, too, below which nothing was kept; rows where it does not are redone.

The library is plain C++ but for one loop, which uses AVX512-VNNI where the CPU has it; elsewhere it is correct and
slow, and `None` does not take it.
"""
