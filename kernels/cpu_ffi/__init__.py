"""Kernels in C++ as XLA FFI handlers, for CPUs. Optional, built only when asked.

    python -m keytokens.kernels.cpu_ffi.build    # builds them in place, half a minute, needs a C++17 compiler

- linear: maps and feed-forward layers by products of 16-bit integers, what embedders of dtype "int16" multiply by, and
  join: the residual and the norm that follow them in the same call;
- attention: of texts that share a row, each by itself;
- topk: implementation "cpu_ffi" of `aligned_topk`, the LM head by such products, decided in float32;
- packing: rows of a matrix as the C++ reads them.

On x86 two libraries are built, for AVX-512 VNNI and for AVX2, and the best is loaded that the CPU has (instructions);
on other machines one, in the compiler's own vectors (lanes.h), with which `None` keeps to XLA. All give the same bits.
Unbuilt, whoever asks for one by name gets an error, and `None` takes XLA's.
"""
