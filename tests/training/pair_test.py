"""A toy pair, end to end: losses fall, a killed training goes on to the same bytes, others read the files."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from keytokens import models
from keytokens.models.errors import ModelError
from keytokens.pipelines.training import contrastive, loop, stages
from tests.training import tiny_training


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("pair_corpus")
    tiny_training.write_corpus(directory)
    return directory


@pytest.fixture(scope="module")
def losses() -> dict[str, list[float]]:
    """Of every step of the fixture `pair`, by stage."""
    return {}


@pytest.fixture(scope="module")
def pair(corpus, losses, tmp_path_factory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("pair")

    class Recorder(loop.Progress):
        def add(self, loss, batch):
            losses.setdefault(self._training.name, []).append(float(loss))
            super().add(loss, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "Progress", Recorder)
        stages.train_pair(directory, tiny_training.options(corpus))
    return directory


def weights_of(directory: pathlib.Path) -> dict[str, bytes]:
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*.safetensors")}


def test_both_are_read_as_any_checkpoint_is(pair):
    backbone = models.read_embedder(str(pair / "backbone"))
    embedder = models.read_embedder(str(pair / "embedder"))
    assert backbone.recipe.pooling == embedder.recipe.pooling == "weightedmean"
    assert backbone.hidden_size == embedder.hidden_size == 16
    assert embedder.adapters and embedder.body_directory == str(pair / "backbone")
    assert embedder.fingerprint()["weights_sha256"] != backbone.fingerprint()["weights_sha256"]


def test_the_trajectory_has_its_points(pair):
    points = [json.loads(line) for line in (pair / "trajectory.jsonl").read_text().splitlines()]
    assert [point["step"] for point in points] == [0, 10, 20]
    assert points[0]["variation"] == [0.0] * 16 and points[0]["dominance"] is None
    assert any(points[-1]["variation"]) and points[-1]["dominance"] > 0
    for point in points:
        assert 0 <= point["content_hit_at_10"] <= 1 and -1 <= point["sts_spearman"] <= 1
    for name in ("trajectory_variation.png", "trajectory_shares.svg"):
        assert (pair / name).stat().st_size > 5_000


def test_a_training_that_was_cut_short_goes_on_to_the_same_bytes(corpus, pair, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    options = tiny_training.options(corpus)
    batches = 0
    train = loop.train

    def killed_twice(training, *arguments, **keywords):
        """Stage 1 dies in its 26th step, stage 2 in its 13th: between checkpoints."""

        def batch(step):
            nonlocal batches
            batches += 1
            if batches in (26, 26 + 20 + 13):  # checkpoints are after 20 and, in stage 2, 10 steps
                raise Killed
            return training.batch(step)

        return train(dataclasses.replace(training, batch=batch), *arguments, **keywords)

    monkeypatch.setattr(loop, "train", killed_twice)
    for _ in range(2):
        with pytest.raises(Killed):
            stages.train_pair(tmp_path, options)
    stages.train_pair(tmp_path, options)
    assert weights_of(tmp_path / "backbone") == weights_of(pair / "backbone")
    # The adapter's base is named by its path, so only the weights can be the same.
    assert weights_of(tmp_path / "embedder") == weights_of(pair / "embedder")
    assert (tmp_path / "trajectory.jsonl").read_text() == (pair / "trajectory.jsonl").read_text()


def test_other_options_are_refused_with_what_differs(corpus, pair):
    options = tiny_training.options(corpus, max_pairs=100)
    with pytest.raises(ValueError, match=r"max_pairs: 200 then, 100 now.*another --output_dir"):
        stages.train_pair(pair, options)


def test_the_loss_of_both_stages_falls(pair, losses):
    assert set(losses) == {"language model", "embedder"}
    for name, values in losses.items():
        assert len(values) == {"language model": 40, "embedder": 20}[name]
        assert np.mean(values[-5:]) < 0.8 * np.mean(values[:3]), name


def test_a_whole_model_learns_from_a_teacher(corpus, pair, tmp_path):
    choices = dataclasses.replace(
        tiny_training.options(corpus).contrastive,
        lora_rank=0,
        steps=4,
        teacher_weight=1.0,
        cosine_weight=20.0,
        contrast_weight=0.0,
        dropout=0.0,
    )
    backbone = str(pair / "backbone")
    options = tiny_training.options(
        corpus, backbone=backbone, teacher=str(pair / "embedder"), contrastive=choices, held_out=(), sts=None
    )
    stages.train_pair(tmp_path, options)
    config = models.read_embedder(str(tmp_path / "embedder"))
    assert config.adapters == () and not (tmp_path / "trajectory.jsonl").exists()
    trained, before = models.load_embedder(config), models.load_embedder(models.read_embedder(backbone))
    assert np.array_equal(trained.params["body"]["embed"]["weight"], before.params["body"]["embed"]["weight"])
    gate = trained.params["body"]["layers"][0]["mlp"]["gate"]["weight"]
    assert not np.array_equal(gate, before.params["body"]["layers"][0]["mlp"]["gate"]["weight"])


def test_an_adapter_in_files_is_the_adapter_that_was_trained(pair):
    """Read back by the loader of published adapters, against our own merge of what the checkpoints hold."""
    import orbax.checkpoint as ocp

    backbone = models.load_embedder(models.read_embedder(str(pair / "backbone")))
    embedder = models.load_embedder(models.read_embedder(str(pair / "embedder")))
    with ocp.CheckpointManager(pair / "checkpoints" / "embedder") as manager:
        state = manager.restore(20, args=ocp.args.StandardRestore())
    options = dataclasses.replace(tiny_training.options(pair).contrastive)
    merged = contrastive.embedder_parameters(state["params"], backbone.params["body"], options)
    ours = np.asarray(merged["layers"][0]["attn"]["q"]["weight"])
    theirs = np.asarray(embedder.params["body"]["layers"][0]["attn"]["q"]["weight"])
    change = np.abs(ours - np.asarray(backbone.params["body"]["layers"][0]["attn"]["q"]["weight"])).max()
    assert np.abs(ours - theirs).max() < 0.02 * change  # bfloat16 in the files


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpus": ()}, "give --corpus, or --backbone"),
        ({"pairs": ("missing.tsv",)}, "no file matches 'missing.tsv'"),
        ({"backbone": "no-such-model"}, "no registered name"),
    ],
)
def test_what_cannot_be_trained_says_why(corpus, pair, tmp_path, changes, message):
    changes = {"backbone": str(pair / "backbone")} | changes
    if changes.get("corpus") == ():
        changes["backbone"] = None
    with pytest.raises((ValueError, ModelError), match=message):
        stages.train_pair(tmp_path, tiny_training.options(corpus, **changes))
