"""The Hopper kernel: bfloat16 logits' matmul whose epilogue, while they are in registers, also writes group maxima.

Letters: B texts, W width, V vocabulary size, bm = 128 rows and 2 x 128 tokens of a tile, one half per warpgroup.

Persistent and warp-specialised, as in JAX's Mosaic GPU matmul for Hopper: one warpgroup streams tiles of 64 columns
into shared memory, two multiply with wgmma. The 128 x 128 accumulators are folded to 128 x 8 maxima by halving, in
registers, so selecting never reads all logits again: only the maxima, a sixteenth, and the winners' groups.
Shared memory: 3 steps x (128 + 256) x 64 x 2 bytes, 144 KiB; stores 2 x 2 x 64 x 64 x 4, 64 KiB; maxima 8 KiB.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

TILE_ROWS = 128
TILE_TOKENS = 128
WARPGROUPS = 2
TILE_WIDTH = 64
STEPS = 3
NUM_MAXIMA = 8  # of one tile's row: group g of a tile holds its tokens g, g + 8, ..., g + 120
GROUP_SIZE = TILE_TOKENS // NUM_MAXIMA
STORE_ROWS, STORE_TOKENS = 64, 64


def logits_and_maxima(rows: jax.Array, columns: jax.Array, *, num_sms: int = 132) -> tuple[jax.Array, jax.Array]:
    """Float32 logits [B, V] and maxima [B, V / 16] of rows [B, W] and columns [V, W], both bfloat16.

    B must be a multiple of 128, V of 256, W of 64. `num_sms` is the number of multiprocessors: 132 on H100 and H200.
    """
    num_rows, width = rows.shape
    vocabulary = columns.shape[0]
    tokens_per_block = WARPGROUPS * TILE_TOKENS
    assert num_rows % TILE_ROWS == 0 and vocabulary % tokens_per_block == 0 and width % TILE_WIDTH == 0
    out_type = (
        jax.ShapeDtypeStruct((num_rows, vocabulary), jnp.float32),
        jax.ShapeDtypeStruct((num_rows, vocabulary // GROUP_SIZE), jnp.float32),
    )
    return plgpu.kernel(
        functools.partial(_kernel, tiles=(num_rows // TILE_ROWS, vocabulary // tokens_per_block, width // TILE_WIDTH)),
        out_type=out_type,
        grid=(num_sms,),
        grid_names=("sm",),
        num_threads=WARPGROUPS + 1,
        thread_name="warpgroup",
        compiler_params=plgpu.CompilerParams(lowering_semantics=plgpu.LoweringSemantics.Warpgroup),
    )(rows, columns)


def _swizzled(num_columns: int, dtype: Any) -> tuple[Any, ...]:
    """The shared memory layout that wgmma and TMA want for tiles of this many columns."""
    itemsize = jnp.dtype(dtype).itemsize
    swizzle = plgpu.find_swizzle(num_columns * itemsize * 8)
    return plgpu.TilingTransform((8, swizzle // itemsize)), plgpu.SwizzleTransform(swizzle)


def _kernel(rows_ref: Any, columns_ref: Any, logits_ref: Any, maxima_ref: Any, *, tiles: tuple[int, int, int]) -> None:
    row_tiles, token_tiles, width_tiles = tiles
    tokens_per_block = WARPGROUPS * TILE_TOKENS
    layout = _swizzled(TILE_WIDTH, jnp.bfloat16)

    def pipeline(body: Any, epilogue: Any) -> Any:
        def operand(num_lines: int) -> Any:
            shape = (num_lines, TILE_WIDTH)
            return plgpu.BlockSpec(shape, lambda step: (0, step), transforms=layout, memory_space=plgpu.SMEM)

        return plgpu.emit_pipeline_warp_specialized(
            body,
            grid=(width_tiles,),
            memory_registers=40,
            in_specs=[operand(TILE_ROWS), operand(tokens_per_block)],
            wg_axis="warpgroup",
            num_compute_wgs=WARPGROUPS,
            max_concurrent_steps=STEPS,
            compute_context=epilogue,
        )

    buffers = {
        "allocations": pipeline(_nothing, _nothing).get_allocations(rows_ref, columns_ref),
        "maxima_buffer": plgpu.SMEM((WARPGROUPS, TILE_ROWS, NUM_MAXIMA), jnp.float32),
        "store_buffer": plgpu.SMEM(
            (WARPGROUPS, 2, STORE_ROWS, STORE_TOKENS), jnp.float32, transforms=_swizzled(STORE_TOKENS, jnp.float32)
        ),
    }

    def with_buffers(allocations: Any, maxima_buffer: Any, store_buffer: Any) -> None:
        warpgroup = lax.axis_index("warpgroup")
        own_tokens = pl.ds(warpgroup * TILE_TOKENS, TILE_TOKENS)

        @plgpu.nd_loop((row_tiles * token_tiles,), collective_axes="sm")
        def _tile(info: Any) -> None:
            (place,) = info.index
            row_tile, token_tile = plgpu.planar_snake(place, (row_tiles, token_tiles), 0, 8)
            row_range = pl.ds(row_tile * TILE_ROWS, TILE_ROWS)
            token_range = pl.ds(token_tile * tokens_per_block, tokens_per_block)

            def epilogue(multiply: Any) -> None:
                @functools.partial(pl.run_scoped, accumulator=plgpu.ACC((TILE_ROWS, TILE_TOKENS), jnp.float32))
                def _with_accumulator(accumulator: Any) -> None:
                    multiply(accumulator)
                    logits = accumulator[...]
                    target = logits_ref.at[row_range, token_range].at[:, own_tokens]
                    _store(logits, store_buffer.at[warpgroup], target)
                    maxima_buffer[warpgroup] = _fold(logits)
                    plgpu.commit_smem()
                    first = (token_tile * WARPGROUPS + warpgroup) * NUM_MAXIMA
                    plgpu.copy_smem_to_gmem(
                        maxima_buffer.at[warpgroup], maxima_ref.at[row_range, pl.ds(first, NUM_MAXIMA)]
                    )

            def step(_: Any, rows_tile: Any, columns_tile: Any, accumulator: Any) -> Any:
                plgpu.wgmma(accumulator, rows_tile, plgpu.transpose_ref(columns_tile.at[own_tokens], (1, 0)))
                plgpu.wgmma_wait(0)
                return accumulator

            pipeline(step, epilogue)(rows_ref.at[row_range, :], columns_ref.at[token_range, :], allocations=allocations)

        plgpu.wait_smem_to_gmem(0, wait_read_only=True)

    pl.run_scoped(with_buffers, collective_axes="warpgroup", **buffers)


def _store(logits: jax.Array, buffer: Any, target: Any) -> None:
    """The tile to global memory in pieces of 64 x 64 through two buffers, so that one is filled while one drains."""
    plgpu.wait_smem_to_gmem(0, wait_read_only=True)
    pieces = [(row, token) for row in range(0, TILE_ROWS, STORE_ROWS) for token in range(0, TILE_TOKENS, STORE_TOKENS)]
    for place, (row, token) in enumerate(pieces):
        rows, tokens = slice(row, row + STORE_ROWS), slice(token, token + STORE_TOKENS)
        plgpu.wait_smem_to_gmem(1, wait_read_only=True)
        buffer[place % 2] = logits[rows, tokens]
        plgpu.commit_smem()
        plgpu.copy_smem_to_gmem(buffer.at[place % 2], target.at[rows, tokens])


def _fold(logits: jax.Array) -> jax.Array:
    """[128, 128] to the maxima [128, 8] over columns equal modulo 8, by halving."""
    width = TILE_TOKENS
    while width > NUM_MAXIMA:
        width //= 2
        logits = jnp.maximum(logits[:, :width], logits[:, width:])
    return logits


def _nothing(*_: Any, **__: Any) -> None:
    """Stands for body and epilogue where only the pipeline's buffers are asked for."""
