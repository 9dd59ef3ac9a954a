"""Strictness for every test: no silent dtype or rank promotion, and the CPU unless a marker says otherwise."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Programs that tests start must not write into the cache directory of whoever runs them.
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import jax
from absl import flags

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# A program's flags are set by flagsaver and read by its main, without a command line.
flags.FLAGS.mark_as_parsed()
