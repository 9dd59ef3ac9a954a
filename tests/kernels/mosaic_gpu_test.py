"""What of "mosaic_gpu" runs without its GPU: the folded head and the certified selection from group maxima."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.kernels.group_maxima import GROUP_SIZE, NUM_MAXIMA, TILE_TOKENS
from keytokens.kernels.head import PreparedHead
from keytokens.kernels.logits import Terms
from keytokens.kernels.mosaic_gpu import folded_head, mosaic_gpu_topk, select_by_groups
from keytokens.kernels.result import Options
from tests.kernels import cases


def maxima_of(logits: np.ndarray) -> np.ndarray:
    """As the kernel folds them: of a tile's 128 tokens, the maxima over those equal modulo 8."""
    return logits.reshape(len(logits), -1, GROUP_SIZE, NUM_MAXIMA).max(2).reshape(len(logits), -1)


def test_what_is_certified_is_the_stable_top_k():
    rows = cases.adversarial(TILE_TOKENS * 40)
    logits = np.stack(list(rows.values()))
    attempt = select_by_groups(jnp.asarray(logits), jnp.asarray(maxima_of(logits)), 50)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :50]
    certified = dict(zip(rows, np.asarray(attempt.certified).tolist(), strict=True))
    for row, name in enumerate(rows):
        if certified[name]:
            np.testing.assert_array_equal(attempt.indices[row], order[row])
            np.testing.assert_array_equal(attempt.values[row], logits[row][order[row]])
    assert certified["ascending"] and certified["descending"] and certified["winners side by side"]
    assert not certified["all equal"] and not certified["few values"]


def test_the_folded_head_adds_the_bias_exactly_and_rules_out():
    hidden, head = cases.integers(7, 24, 300)
    rng = np.random.default_rng(0)
    bias, mask = rng.standard_normal(300).astype(np.float32), rng.random(300) < 0.7
    folded = np.asarray(folded_head(jnp.asarray(head, jnp.bfloat16), Terms(jnp.asarray(bias), None, jnp.asarray(mask))))
    assert folded.shape == (512, 64)
    widened = folded.astype(np.float64)
    logits = np.concatenate([hidden, np.ones((7, 4))], axis=1) @ widened[:, :28].T
    np.testing.assert_array_equal(logits[:, :300][:, mask], (hidden.astype(np.float64) @ head.T + bias)[:, mask])
    assert (logits[:, :300][:, ~mask] < -9e29).all() and (logits[:, 300:] < -9e29).all()


H, E = jnp.zeros((4, 64), jnp.bfloat16), jnp.zeros((512, 64), jnp.bfloat16)


@pytest.mark.parametrize(
    ("hidden", "head", "coefficient", "options", "message"),
    [
        (H.astype(jnp.float32), E, None, Options(4), "multiplies bfloat16"),
        (H, E, jnp.zeros(4), Options(4), "no shift"),
        (H, E, None, Options(4, with_logsumexp=True), "no logsumexp"),
        (H, E, None, Options(32), "k below V / 16"),
    ],
)
def test_what_it_cannot_do_it_refuses(hidden, head, coefficient, options, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: mosaic_gpu_topk(hidden, PreparedHead(head, Terms(), None), coefficient, options))
