"""The pair that comes along: it is there, small enough, loads by name, and shows what its model cards say."""

import json
import pathlib

import numpy as np
import pytest

from keytokens import models
from keytokens.models.locate import locate
from keytokens.pipelines import encoder
from keytokens.pipelines.analysis import alignment, moments, spectrum, token_classes
from keytokens.pipelines.analysis.ragged import Ragged

MOST_BYTES = 20_000_000
# Written for this test.
SENTENCES = """A dog runs across the frozen lake.
The committee approved the new budget on Monday.
She is slicing tomatoes for the soup.
Scientists discovered a planet around a distant star.
Two children are building a castle of sand.
The old bridge collapsed during the storm.
He repaired the engine of his motorcycle.
The orchestra played a symphony by Mozart.
Farmers harvest wheat at the end of summer.
A woman is painting the kitchen wall.
The bank raised its interest rates again.
My grandfather collected rare coins and stamps.
The ship sank near the coast of Ireland.
Heavy rain flooded the streets of the village.
The teacher explained the theory of gravity.
A cat sleeps on the warm roof.
The judge sentenced the thief to three years in prison.
They climbed the mountain in the early morning.
The chef cooked rice with chicken and garlic.
A train to London leaves every hour.""".splitlines()


@pytest.fixture(scope="module")
def pair():
    embedder = models.read_embedder("keytokens-embed")
    backbone = models.read_embedder(embedder.default_backbone, recipe=embedder.recipe)
    return [encoder.shared_encoder(config) for config in (embedder, backbone)]


@pytest.fixture(scope="module")
def embeddings(pair) -> list[np.ndarray]:
    return [np.asarray(one.embed(SENTENCES).hidden) for one in pair]


def test_it_is_in_the_package_and_small():
    files = [file for name in ("keytokens-embed", "keytokens-lm") for file in locate(name).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < MOST_BYTES
    names = {file.name for file in files}
    assert {"README.md", "model.safetensors", "adapter_model.safetensors", "tokenizer.json", "modules.json"} <= names


def test_the_embedder_is_an_adapter_over_the_backbone(pair):
    embedder, backbone = (one.embedder.config for one in pair)
    assert embedder.body_directory == backbone.body_directory and embedder.adapters and not backbone.adapters
    assert embedder.recipe == backbone.recipe
    config = json.loads((pathlib.Path(embedder.adapters[0]) / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "keytokens-lm"


def test_the_first_component_moved_most(embeddings):
    comparison = spectrum.compare(moments.PairMoments.of(*embeddings))
    assert comparison.variation[0] < 0 and comparison.dominance > 2


def test_only_the_embedder_says_what_the_text_is_about(pair, embeddings):
    loaded = pair[0]
    own = Ragged.of([row.ids[row.text] for row in loaded.embed(SENTENCES).tokens])
    classes = token_classes.classify(loaded.embedder.token_strings, special=sorted(loaded.embedder.special_ids))
    head = np.asarray(loaded.embedder.head.weight, np.float32)
    hits, stops = [], []
    for hidden in embeddings:
        best = np.argsort(-(hidden @ head.T), axis=1, kind="stable")[:, :10]
        hits.append(np.any(alignment.in_text(best, own.keep(classes.content)), axis=1).mean())
        stops.append((classes.stop_word | classes.punctuation)[best].mean())
    assert hits[0] >= 0.5 and hits[1] <= 0.2
    assert stops[0] <= 0.4 and stops[1] >= 0.8


def test_similar_sentences_are_near(pair):
    texts = ["A man is playing a guitar.", "Someone plays the guitar.", "The price of oil rose sharply."]
    hidden = np.asarray(pair[0].embed(texts).hidden)
    unit = hidden / np.linalg.norm(hidden, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > unit[0] @ unit[2] + 0.2
