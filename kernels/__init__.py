"""Kernels: arrays in, arrays out. The fused LM head with top-k, moments of a block, the histogram of all pairs,
linear maps and attention of packed texts on CPUs.
"""

from keytokens.kernels.api import IMPLEMENTATIONS, aligned_topk
from keytokens.kernels.cpu_ffi.attention import packed_attention
from keytokens.kernels.cpu_ffi.library import require_fast as require_packed
from keytokens.kernels.cpu_ffi.linear import pack_linear, packed_linear
from keytokens.kernels.head import PreparedHead, prepare_head
from keytokens.kernels.moments import BlockMoments, block_cross_scatter, block_moments
from keytokens.kernels.pair_histogram import count_pairs, to_grid
from keytokens.kernels.result import TopK
from keytokens.kernels.sharded import ShardedHead, shard_head, sharded_topk
from keytokens.kernels.sweep import topk_sweep

__all__ = [
    "IMPLEMENTATIONS",
    "BlockMoments",
    "PreparedHead",
    "ShardedHead",
    "TopK",
    "aligned_topk",
    "block_cross_scatter",
    "block_moments",
    "count_pairs",
    "pack_linear",
    "packed_attention",
    "packed_linear",
    "prepare_head",
    "require_packed",
    "shard_head",
    "sharded_topk",
    "to_grid",
    "topk_sweep",
]
