"""Run by aot_gpu_test.py in an environment where CUDA's compiler is found: lowering for an H200 that is not there."""

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from keytokens.kernels.chunked import chunked_topk
from keytokens.kernels.head import PreparedHead
from keytokens.kernels.logits import Terms
from keytokens.kernels.mosaic_gpu import mosaic_gpu_topk
from keytokens.kernels.result import Options

pytestmark = pytest.mark.aot

# What XLA asks a device for, as text of its GpuTargetConfigProto, with the H200's numbers.
H200 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152 shared_memory_per_core: 233472
  threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 4800000000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98 device_memory_size: 150000000000
  shared_memory_per_block_optin: 232448 cuda_compute_capability { major: 9 } registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 7 }
runtime_version { major: 12 minor: 8 patch: 0 }
device_description_str: "NVIDIA H200"
"""


@pytest.fixture(scope="module")
def shape():
    """Makes the shape of an array on the target."""
    topology = topologies.get_topology_desc(platform="cuda", topology_name="h200", target_config=H200, topology="1x1x1")
    sharding = SingleDeviceSharding(topology.devices[0])
    return lambda size, dtype: jax.ShapeDtypeStruct(size, dtype, sharding=sharding)


@pytest.mark.parametrize("implementation", [chunked_topk, mosaic_gpu_topk])
@pytest.mark.parametrize(
    ("rows", "dim", "vocabulary", "k"), [(1000, 384, 30522, 100), (512, 768, 151936, 100), (512, 4096, 128256, 256)]
)
def test_compiles(shape, implementation, rows, dim, vocabulary, k):
    terms = Terms(bias=shape((vocabulary,), jnp.float32), mask=shape((vocabulary,), jnp.bool_))
    head = PreparedHead(shape((vocabulary, dim), jnp.bfloat16), terms, None)
    select = jax.jit(lambda *arrays: implementation(*arrays, None, Options(k)))
    compiled = select.lower(shape((rows, dim), jnp.bfloat16), head).compile()
    program = compiled.as_text()
    assert f"f32[{rows},{vocabulary}]" not in program or implementation is mosaic_gpu_topk
    assert ("mosaic_gpu" in program) == (implementation is mosaic_gpu_topk)


def test_no_program_sorts_all_logits(shape):
    """XLA's top_k of k > 16 on GPU is a sort of the whole axis; two stages sort a fraction of it."""
    head = PreparedHead(shape((151936, 768), jnp.bfloat16), Terms(), None)
    select = jax.jit(lambda *arrays: chunked_topk(*arrays, None, Options(100)))
    program = select.lower(shape((512, 768), jnp.bfloat16), head).compile().as_text()
    sorted_axes = [line for line in program.splitlines() if " sort(" in line or "DeviceRadixSort" in line]
    assert sorted_axes and not any("151936" in line for line in sorted_axes)
