"""Ours: embedding alone, the whole way from a file to a store, and the matrix products that nobody can do without."""

import itertools
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks.race.contestant import NotInstalled, Outcome, Run
from tests.benchmarks.race.subjects import Subject
from tests.benchmarks.race.workloads import Workload

_K = 256
_BLOCK_TOKENS = 1024


def embedding(dtype: str, **options: Any) -> Callable[[Subject], Run]:
    """`shared_encoder(config, **options).embed`: tokenising included, no files."""

    def build(subject: Subject) -> Run:
        from keytokens.kernels.cpu_ffi import library
        from keytokens.pipelines import encoder

        _require_integers(dtype, library.is_fast())
        own = encoder.shared_encoder(subject.read(dtype), **options)

        def run(workload: Workload) -> Outcome:
            embedded = own.embed(workload.texts)
            return Outcome(embedded.hidden, computed_tokens=embedded.batch_tokens)

        return run

    return build


def whole(dtype: str, **options: Any) -> Callable[[Subject], Run]:
    """What align_corpus does with its default k, as a library call on FnApiRunner: JSON lines to a finished store.

    Args:
      dtype: of weights and products.
      **options: of `align_run.AlignOptions`.
    """

    def build(subject: Subject) -> Run:
        from keytokens.kernels.cpu_ffi import library
        from keytokens.pipelines import align_run, cli, engines, transforms
        from keytokens.pipelines.store import reader

        _require_integers(dtype, library.is_fast())
        config = subject.read(dtype)
        stores = pathlib.Path(tempfile.mkdtemp(dir=subject.scratch))
        numbers = itertools.count()

        def run(workload: Workload) -> Outcome:
            output = str(stores / f"{next(numbers)}.zarr")
            asked = align_run.AlignOptions(
                model=config, backbone=None, corpus=(str(workload.path),), output=output, k=_K, **options
            )
            prepared, planned = align_run.prepare(asked)
            with engines.pipeline(cli.beam_options(["--runner=FnApiRunner"])) as pipeline:
                transforms.define_pipeline(pipeline, prepared, planned.units)
            store = reader.StoreReader(prepared.output)
            return Outcome(
                key_tokens=lambda: store.ranked_postings(0, store.dims.num_rows)[0][:, :10],
                computed_tokens=store.manifest["counts"]["batch_tokens"],
            )

        return run

    return build


def _require_integers(dtype: str, are_fast: bool) -> None:
    if dtype == "int16" and not are_fast:
        raise NotInstalled("the C++ library (make cpu-ffi) and a CPU with AVX-512 VNNI or AVX2")


def matmuls(dtype: str) -> Callable[[Subject], Run]:
    """The products of the model's weights with as many rows as the workload has tokens, in blocks of about 1,024.

    No attention, no norms, no padding, nothing that is read or written but the products themselves: each is the next
    one's left side. What XLA needs for these is a floor for whatever leaves its products to it.
    """

    def build(subject: Subject) -> Run:
        import jax
        import jax.numpy as jnp
        from transformers import AutoConfig, AutoTokenizer

        config = AutoConfig.from_pretrained(subject.directory)
        tokenizer = AutoTokenizer.from_pretrained(subject.directory)
        size = config.hidden_size
        inner = config.intermediate_size or 4 * size
        shapes = [(size, size)] * 4 + [(size, inner), (inner, size)]  # q, k, v, out, up, down
        rng = np.random.default_rng(0)
        weights = [
            jnp.asarray(rng.standard_normal(shape, np.float32) / shape[0] ** 0.5, dtype)
            for _ in range(config.num_hidden_layers)
            for shape in shapes
        ]

        @jax.jit
        def multiply(rows, weights):
            for weight in weights:
                rows = jnp.dot(rows, weight, preferred_element_type=jnp.float32).astype(dtype)
            return rows

        blocks: dict[str, tuple[int, Any]] = {}

        def run(workload: Workload) -> Outcome:
            if workload.name not in blocks:
                read = tokenizer(list(workload.texts), truncation=True, max_length=subject.max_length)
                tokens = sum(map(len, read["input_ids"]))
                number = max(1, round(tokens / _BLOCK_TOKENS))
                rows = rng.standard_normal((-(-tokens // number), size), np.float32)
                blocks[workload.name] = number, jnp.asarray(rows, dtype)
            number, rows = blocks[workload.name]
            jax.block_until_ready([multiply(rows, weights) for _ in range(number)])
            return Outcome()

        return run

    return build
