"""The TPU kernel compiles for real TPU targets: no lowering error, no overflow of the vector memory. Needs libtpu.

pip install libtpu && pytest -m aot tests/kernels/aot_tpu_test.py    (about 20 s a case on two cores)
"""

import os

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from keytokens.kernels.chunked import chunked_topk
from keytokens.kernels.head import PreparedHead
from keytokens.kernels.logits import Terms
from keytokens.kernels.pallas_tpu import pallas_tpu_topk
from keytokens.kernels.result import Options

pytestmark = pytest.mark.aot
ALL_TERMS = True


@pytest.fixture(scope="module", params=["v5e:2x2", "v6e:2x2"])
def shape(request):
    """Makes the shape of an array on one core of the target."""
    pytest.importorskip("libtpu", reason="pip install libtpu")
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    topology = topologies.get_topology_desc(platform="tpu", topology_name=request.param)
    sharding = SingleDeviceSharding(topology.devices[0])
    return lambda size, dtype: jax.ShapeDtypeStruct(size, dtype, sharding=sharding)


@pytest.mark.parametrize("implementation", [pallas_tpu_topk, chunked_topk])
@pytest.mark.parametrize(
    ("rows", "dim", "vocabulary", "k", "dtype", "all_terms"),
    [
        (1024, 384, 30522, 100, jnp.bfloat16, not ALL_TERMS),
        (1024, 768, 151936, 100, jnp.bfloat16, ALL_TERMS),
        (512, 4096, 32000, 256, jnp.bfloat16, not ALL_TERMS),
        (1024, 768, 262144, 1000, jnp.float32, ALL_TERMS),
    ],
)
def test_compiles(shape, implementation, rows, dim, vocabulary, k, dtype, all_terms):
    hidden = shape((rows, dim), dtype)
    number, boolean = shape((vocabulary,), jnp.float32), shape((vocabulary,), jnp.bool_)
    terms = Terms(number, number, boolean) if all_terms else Terms()
    head = PreparedHead(shape((vocabulary, dim), dtype), terms, None)
    coefficient = shape((rows,), jnp.float32) if all_terms else None
    options = Options(k, scale=0.5, softcap=30.0, with_logsumexp=all_terms)
    select = jax.jit(lambda *arrays: implementation(*arrays, options))
    program = select.lower(hidden, head, coefficient).compile().as_text()
    assert f"f32[{rows},{vocabulary}]" not in program  # [B, V] never exists
