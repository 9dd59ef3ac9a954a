"""Run by parallel_test.py with four virtual devices."""

import dataclasses

import jax
import numpy as np
import pytest

from keytokens.pipelines.training import loop, optimizers, stages
from tests.training import tiny_training


def short(corpus, **changes) -> stages.PairOptions:
    """Six steps of a language model, by AdamW, which compiles soonest."""
    asked = tiny_training.options(corpus, pairs=(), held_out=(), sts=None)
    rates = optimizers.Rates(matrices=0.0, others=5e-3, warmup=2)
    model = dataclasses.replace(asked.language_model, steps=6, rates=rates, **changes)
    return dataclasses.replace(asked, language_model=model)


def test_four_devices_learn_what_one_learns(tmp_path, monkeypatch):
    assert len(jax.local_devices()) == 4
    tiny_training.write_corpus(tmp_path)
    trained = []
    train = loop.train

    def kept(*arguments, **keywords):
        trained.append(train(*arguments, **keywords))
        return trained[-1]

    monkeypatch.setattr(loop, "train", kept)
    one_device = jax.local_devices()[:1]
    with jax.numpy_dtype_promotion("standard"):
        stages.train_pair(tmp_path / "four", short(tmp_path))
        monkeypatch.setattr(jax, "local_devices", lambda: one_device)
        stages.train_pair(tmp_path / "one", short(tmp_path))
    four, one = (params["embed"]["weight"] for params in trained)
    assert (len(four.sharding.device_set), len(one.sharding.device_set)) == (4, 1)
    moved = np.abs(np.asarray(one) - np.asarray(one).mean()).max()
    # Sums are added in another order.
    assert np.abs(np.asarray(four) - np.asarray(one)).max() < 1e-3 * moved


def test_a_batch_that_cannot_be_split_is_refused(tmp_path):
    tiny_training.write_corpus(tmp_path)
    with jax.numpy_dtype_promotion("standard"), pytest.raises(ValueError, match=r"batch of 6 .* over 4 devices"):
        stages.train_pair(tmp_path / "odd", short(tmp_path, batch=6))
