"""Kernels: arrays in, arrays out. The fused LM head with top-k, moments of a block, the histogram of all pairs,
linear maps and attention of packed texts on CPUs.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keytokens.kernels.api import aligned_topk
    from keytokens.kernels.arguments import IMPLEMENTATIONS
    from keytokens.kernels.cpu_ffi.attention import packed_attention
    from keytokens.kernels.cpu_ffi.join import Join
    from keytokens.kernels.cpu_ffi.library import require_packed
    from keytokens.kernels.cpu_ffi.linear import Packed, packed_feed_forward, packed_linears
    from keytokens.kernels.cpu_ffi.packing import pack_rows
    from keytokens.kernels.head import PreparedHead, prepare_head
    from keytokens.kernels.moments import BlockMoments, block_cross_scatter, block_moments
    from keytokens.kernels.pair_histogram import count_pairs, to_grid
    from keytokens.kernels.result import TopK
    from keytokens.kernels.sharded import ShardedHead, shard_head, sharded_topk
    from keytokens.kernels.sweep import topk_sweep

__all__ = [
    "IMPLEMENTATIONS",
    "BlockMoments",
    "Join",
    "Packed",
    "PreparedHead",
    "ShardedHead",
    "TopK",
    "aligned_topk",
    "block_cross_scatter",
    "block_moments",
    "count_pairs",
    "pack_rows",
    "packed_attention",
    "packed_feed_forward",
    "packed_linears",
    "prepare_head",
    "require_packed",
    "shard_head",
    "sharded_topk",
    "to_grid",
    "topk_sweep",
]

# Which module has it: imported when first asked for, so that a program prints its --help without JAX (1 s).
_LATER = {
    "IMPLEMENTATIONS": "arguments",
    "aligned_topk": "api",
    "packed_attention": "cpu_ffi.attention",
    "require_packed": "cpu_ffi.library",
    "Join": "cpu_ffi.join",
    "Packed": "cpu_ffi.linear",
    "pack_rows": "cpu_ffi.packing",
    "packed_feed_forward": "cpu_ffi.linear",
    "packed_linears": "cpu_ffi.linear",
    "PreparedHead": "head",
    "prepare_head": "head",
    "BlockMoments": "moments",
    "block_cross_scatter": "moments",
    "block_moments": "moments",
    "count_pairs": "pair_histogram",
    "to_grid": "pair_histogram",
    "TopK": "result",
    "ShardedHead": "sharded",
    "shard_head": "sharded",
    "sharded_topk": "sharded",
    "topk_sweep": "sweep",
}


def __getattr__(name: str) -> Any:
    """A name of `_LATER`."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
