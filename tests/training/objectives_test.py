"""Objectives and sampling against plain numpy and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from keytokens.models.dropout import Dropout
from keytokens.pipelines.training import objectives, sampling, texts, token_table, trajectory, vocabulary


def softmax(rows):
    shares = np.exp(rows - rows.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def units(seed, rows, width=5):
    vectors = np.random.default_rng(seed).normal(size=(rows, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_info_nce_is_both_cross_entropies():
    left, right = units(0, 4), units(1, 4)
    scores = left @ right.T / 0.1
    wanted = -(np.log(np.diag(softmax(scores))).mean() + np.log(np.diag(softmax(scores.T))).mean()) / 2
    assert objectives.info_nce(left, right, temperature=0.1) == pytest.approx(wanted, rel=1e-5)


def test_distillation_is_the_divergence_of_neighbourhoods():
    student, teacher = units(2, 5), units(3, 5, width=7)
    total = 0.0
    for row in range(5):
        others = [other for other in range(5) if other != row]
        p, q = (softmax((v[row] @ v[others].T / 0.2)[None])[0] for v in (teacher, student))
        total += (p * np.log(p / q)).sum()
    found = objectives.similarity_distillation(jnp.asarray(student), jnp.asarray(teacher), temperature=0.2)
    assert found == pytest.approx(total / 5, rel=1e-4)
    same = objectives.similarity_distillation(jnp.asarray(student), jnp.asarray(student), temperature=0.2)
    assert abs(float(same)) < 1e-6
    gradient = jax.grad(lambda v: objectives.similarity_distillation(v, jnp.asarray(teacher), temperature=0.2))
    assert np.isfinite(np.asarray(gradient(jnp.asarray(student)))).all()


def test_cosines_are_regressed_on_the_teachers():
    student, teacher = units(2, 3), units(3, 3, width=7)
    wanted = np.square(student @ student.T - teacher @ teacher.T).mean()
    found = objectives.cosine_regression(jnp.asarray(student), jnp.asarray(teacher))
    assert found == pytest.approx(wanted, rel=1e-5)


def test_next_token_loss_by_hand():
    hidden, head = np.ones((1, 2, 3), np.float32), np.array([[0, 0, 0], [1, 0, 1]], np.float32)
    wanted = -np.log(softmax(np.array([[0.0, 2.0]])))[0]
    found = objectives.next_token_loss(jnp.asarray(hidden), jnp.asarray(head), jnp.asarray([[0, 1]]))
    assert found == pytest.approx(wanted.mean(), rel=1e-6)


def test_dropout_keeps_the_mean_and_repeats_by_key():
    x = jnp.ones((200, 200))
    noisy = Dropout(0.25, jax.random.key(3))(x)
    assert float((noisy == 0).mean()) == pytest.approx(0.25, abs=0.01)
    assert float(noisy.mean()) == pytest.approx(1.0, abs=0.01)
    drop, again = Dropout(0.25, jax.random.key(3)), Dropout(0.25, jax.random.key(3))
    first, second = drop(x), drop(x)
    assert (first == again(x)).all() and (second == again(x)).all() and not (first == second).all()
    with pytest.raises(ValueError, match=r"dropout rate of 1\.0"):
        Dropout(1.0, jax.random.key(0))


def test_an_epoch_takes_everything_once():
    taken = [sampling.batch_members(10, batch=5, seed=1, step=step) for step in range(4)]
    assert sorted(np.concatenate(taken[:2])) == sorted(np.concatenate(taken[2:])) == list(range(10))
    assert not np.array_equal(np.concatenate(taken[:2]), np.concatenate(taken[2:]))
    with pytest.raises(ValueError, match=r"a batch of 5 needs at least as many .* there are 4"):
        sampling.batch_members(4, batch=5, seed=1, step=0)


def test_batches_of_like_length_pad_little_and_take_everything_once():
    lengths = np.random.default_rng(0).integers(1, 100, 64)
    taken = [sampling.batch_of_like_length(lengths, batch=8, seed=1, step=step) for step in range(16)]
    assert sorted(np.concatenate(taken[:8])) == sorted(np.concatenate(taken[8:])) == list(range(64))
    assert max(np.ptp(lengths[members]) for members in taken) < 40
    assert [lengths[members].min() for members in taken[:8]] != sorted(lengths[members].min() for members in taken[:8])


def test_windows_are_runs_of_the_stream():
    stream = np.arange(1000, dtype=np.int32)
    seen = np.concatenate([sampling.windows(stream, batch=3, length=16, seed=0, step=step) for step in range(20)])
    assert seen.shape == (60, 17) and (np.diff(seen, axis=1) == 1).all()
    assert len(set(seen[:, 0])) == 60  # 61 windows an epoch
    with pytest.raises(ValueError, match=r"has 20 tokens; a batch takes 3 windows of 16"):
        sampling.windows(stream[:20], batch=3, length=16, seed=0, step=0)


def test_padding_is_rounded_up():
    ids, mask = sampling.padded([np.array([5, 6]), np.array([7])], pad_id=9, multiple=4)
    assert ids.tolist() == [[5, 6, 9, 9], [7, 9, 9, 9]] and mask.tolist() == [[1, 1, 0, 0], [1, 0, 0, 0]]


def test_classical_vectors_put_words_of_one_place_together():
    rng = np.random.default_rng(0)
    # Tokens 0-9 follow each other, and so do 10-19.
    stream = np.concatenate([rng.integers(0, 10, 60) + 10 * (block % 2) for block in range(200)]).astype(np.int32)
    table = token_table.ppmi_embeddings(stream, vocab_size=20, width=4, seed=0)
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    cosines = unit @ unit.T
    assert cosines[:10, :10].mean() > 0.8 and cosines[:10, 10:].mean() < 0.2
    assert table.std() == pytest.approx(0.05, rel=1e-5)


def test_a_vocabulary_says_what_it_lacks():
    with pytest.raises(ValueError, match="make only"):
        vocabulary.train_tokenizer(["a b c"], vocab_size=5000, max_length=8)
    with pytest.raises(ValueError, match="--vocab_size=100"):
        vocabulary.train_tokenizer(["a b c"], vocab_size=100, max_length=8)
    tokenizer = vocabulary.train_tokenizer(["the boat and the boy"] * 3, vocab_size=264, max_length=8)
    ids = vocabulary.token_ids(tokenizer, ["The boat \U0001f6a4"])[0]
    assert ids[0] == tokenizer.bos_token_id and tokenizer.decode(ids[1:]).strip() == "the boat \U0001f6a4"


def test_pairs_of_files(tmp_path):
    (tmp_path / "a.tsv").write_text("one\ttwo\textra\n\nthree\tfour\n")
    (tmp_path / "b.jsonl").write_text('{"anchor": "x", "positive": "y"}\n')
    assert texts.read_pairs([str(tmp_path / "*")]) == [("one", "two"), ("three", "four"), ("x", "y")]
    (tmp_path / "c.tsv").write_text("one\ttwo\nalone\n")
    with pytest.raises(ValueError, match=r"c\.tsv, line 2: 1 columns"):
        texts.read_pairs([str(tmp_path / "c.tsv")])
    (tmp_path / "d.jsonl").write_text('{"anchor": "x"}\n')
    with pytest.raises(ValueError, match=r"d\.jsonl, line 1: no two texts"):
        texts.read_pairs([str(tmp_path / "d.jsonl")])
    (tmp_path / "e.tsv").write_text("4.5\ta\tb\nno\tc\td\n")
    with pytest.raises(ValueError, match=r"e\.tsv, line 2: .* is no score"):
        trajectory.read_scored_pairs(str(tmp_path / "e.tsv"))
