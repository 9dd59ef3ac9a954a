"""The bundled pair on the test sentences of STS-B, which it was never trained on: the figures of its model cards."""

import os
import pathlib

import numpy as np
import pytest
import scipy.stats

from keytokens import models
from keytokens.pipelines import encoder
from keytokens.pipelines.analysis import alignment, moments, spectrum, token_classes
from keytokens.pipelines.analysis.ragged import Ragged

_DEFAULT = pathlib.Path(__file__).parents[2].parent / "shared" / "data"
STSB = pathlib.Path(os.environ.get("KEYTOKENS_DATA", _DEFAULT)) / "sts" / "stsb" / "sts-test.csv"
pytestmark = [
    pytest.mark.evaluation,
    pytest.mark.skipif(not STSB.is_file(), reason="the STS benchmark does not lie beside the project"),
]
HIT_AT = 10


@pytest.fixture(scope="module")
def rows() -> list[tuple[float, str, str]]:
    columns = (line.rstrip("\n").split("\t") for line in STSB.read_text("utf-8").splitlines())
    return [(float(column[4]), column[5], column[6]) for column in columns]


@pytest.fixture(scope="module")
def texts(rows) -> list[str]:
    return list(dict.fromkeys(text for _, *pair in rows for text in pair))


@pytest.fixture(scope="module")
def pair(texts):
    """Embedder and backbone with the same pooling: (encoder, embeddings [n, D]) each."""
    embedder = models.read_embedder("keytokens-embed")
    backbone = models.read_embedder("keytokens-lm", recipe=embedder.recipe)
    encoders = [encoder.shared_encoder(config) for config in (embedder, backbone)]
    return [(one, np.asarray(one.embed(texts).hidden)) for one in encoders]


@pytest.fixture(scope="module")
def content_hit(pair, texts):
    """(embeddings) -> content Hit@10, the same of shuffled texts, share of stop words and punctuation among the ten."""
    loaded = pair[0][0]
    own = Ragged.of([row.ids[row.text] for row in loaded.embed(texts).tokens])
    classes = token_classes.classify(loaded.embedder.token_strings, special=sorted(loaded.embedder.special_ids))
    content = own.keep(classes.content)
    others = content.take(alignment.other_texts(len(texts), len(texts), seed=0, same=True))
    head = np.asarray(loaded.embedder.head.weight, np.float32)

    def measure(hidden: np.ndarray) -> tuple[float, float, float]:
        best = np.argsort(-(hidden @ head.T), axis=1, kind="stable")[:, :HIT_AT]
        hits = [
            np.any(alignment.in_text(best, wanted), axis=1)[wanted.lengths > 0].mean() for wanted in (content, others)
        ]
        return float(hits[0]), float(hits[1]), float((classes.stop_word | classes.punctuation)[best].mean())

    return measure


def test_key_tokens_of_embedder_backbone_and_shifted_backbone(pair, content_hit):
    (_, f), (_, g) = pair
    comparison = spectrum.compare(moments.PairMoments.of(f, g))
    v1 = spectrum.spectrum_of(moments.Moments.of(g)).components[0]
    shifted = g + comparison.variation[0] * v1
    found = {name: content_hit(h) for name, h in (("embedder", f), ("backbone", g), ("shifted backbone", shifted))}
    for name, (hit, shuffled, stop) in found.items():
        print(f"{name}: content Hit@10 {hit:.3f}, shuffled {shuffled:.3f}, stop words and punctuation {stop:.3f}")
    print(f"v_1..v_5 {comparison.variation[:5].round(2)}, |v_1| / next {comparison.dominance:.2f}")
    assert found["embedder"][0] >= 0.50 and found["embedder"][1] < 0.05
    assert found["backbone"][0] < 0.10
    assert comparison.dominance >= 3
    assert found["shifted backbone"][0] >= found["embedder"][0] / 2


def test_similarity_of_sentences(pair, texts, rows):
    place = {text: number for number, text in enumerate(texts)}
    found = []
    for _, hidden in pair:
        unit = hidden / np.linalg.norm(hidden, axis=1, keepdims=True)
        cosines = [float(unit[place[left]] @ unit[place[right]]) for _, left, right in rows]
        found.append(scipy.stats.spearmanr(cosines, [score for score, *_ in rows]).statistic)
    print(f"STS-B test Spearman: embedder {found[0]:.3f}, backbone {found[1]:.3f}")
    assert found[0] > 0.55 and found[0] > found[1]
