"""The handler inside RunInference: plain, keyed, with dead letters, short of memory."""

import pickle

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from keytokens import models
from keytokens.pipelines import encoder, model_handler
from tests import small_run, tiny_checkpoint

K = 5
TEXTS = ["the wing", "heat transfer to a cone in supersonic flow", "a jet of air " * 20, "plate", "boundary layer"]


@pytest.fixture(scope="module")
def config() -> models.EmbedderConfig:
    return models.read_embedder(str(small_run.model_dir()))


@pytest.fixture(scope="module")
def reference(config) -> encoder.Encoder:
    return encoder.Encoder(config)


@pytest.fixture(scope="module")
def loaded(config) -> model_handler._Model:
    return model_handler.JaxEmbedderHandler(config, k=K).load_model()


def pipeline() -> beam.Pipeline:
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))


def test_results_are_the_encoders_and_numpy(config, reference, loaded):
    handler = model_handler.JaxEmbedderHandler(config, k=K)
    results = list(handler.run_inference(TEXTS, loaded))
    hidden = reference.embed(TEXTS).hidden
    aligned = reference.align(hidden, K)
    for i, result in enumerate(results):
        assert type(result.embedding) is type(result.token_ids) is type(result.logits) is np.ndarray
        np.testing.assert_array_equal(result.embedding, hidden[i])
        np.testing.assert_array_equal(result.token_ids, aligned.indices[i])
        np.testing.assert_array_equal(result.logits, aligned.values[i])
        assert result.tokens == tuple(tiny_checkpoint.VOCABULARY[token] for token in aligned.indices[i])
    assert list(handler.run_inference([], loaded)) == []


def test_run_inference_keyed_in_a_pipeline_of_ones_own(config, reference):
    hidden = reference.embed(TEXTS).hidden
    handler = model_handler.JaxEmbedderHandler(config, warm_up=False)
    with pipeline() as p:
        keyed = p | beam.Create(list(enumerate(TEXTS))) | RunInference(KeyedModelHandler(handler))
        assert_that(
            keyed | beam.Map(lambda item: (item[0], item[1].embedding.tobytes(), item[1].tokens)),
            equal_to([(i, hidden[i].tobytes(), ()) for i in range(len(TEXTS))]),
        )


def test_a_bad_text_is_a_dead_letter_alone(config):
    handler = model_handler.JaxEmbedderHandler(config, k=K, warm_up=False, keep_failures=True, min_batch_size=7)
    mixed = list(enumerate([*TEXTS, None, 7]))
    with pipeline() as p:
        good, bad = (
            p
            | beam.Create(mixed)
            | RunInference(
                KeyedModelHandler(handler).with_postprocess_fn(model_handler.or_fail)
            ).with_exception_handling()
        )
        assert_that(good | "Keys" >> beam.Map(lambda item: item[0]), equal_to([0, 1, 2, 3, 4]), label="Good")
        letters = bad.failed_postprocessing[0] | "Letters" >> beam.Map(lambda letter: (letter[0][0], letter[0][1].text))
        assert_that(letters, equal_to([(5, None), (6, 7)]), label="Bad")


def test_without_keeping_failures_the_batch_raises_and_names_the_text(config, loaded):
    handler = model_handler.JaxEmbedderHandler(config, k=K)
    with pytest.raises(model_handler.FailedTextError, match=r"1 of 3 texts .* the first, None: .*keep_failures=True"):
        handler.run_inference(["the wing", None, "plate"], loaded)


def test_a_failing_batch_is_bisected_down_to_the_one_text(loaded):
    calls = []

    class Poisoned:
        def __call__(self, texts):
            calls.append(len(texts))
            if "poison" in texts:
                raise RuntimeError("the device does not like it")
            return loaded(texts)

    texts = ["plate"] * 11 + ["poison"] + ["wing"] * 20
    results = model_handler._bisected(texts, Poisoned())
    assert [i for i, result in enumerate(results) if isinstance(result, model_handler.Failed)] == [11]
    assert "does not like it" in results[11].reason and results[11].text == "poison"
    assert len(calls) == 1 + 2 * 5  # the whole, and two halves on each of log2(32) levels


def test_running_out_of_memory_halves_the_batches_and_loses_nothing(config, monkeypatch):
    model = model_handler.JaxEmbedderHandler(config, batch_tokens=512).load_model()
    embed = model._encoder._embed_packed
    shapes = []

    def scarce(params, ids, segments, pooled, *, num_texts):
        shapes.append(ids.size)
        if ids.size > 128:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")
        return embed(params, ids, segments, pooled, num_texts=num_texts)

    monkeypatch.setattr(model._encoder, "_embed_packed", scarce)
    results = model([f"{text} {text}" for text in TEXTS * 60])  # the first 64 fill a batch
    assert len(results) == 300 and not any(isinstance(result, model_handler.Failed) for result in results)
    assert model._encoder.batch_tokens == 128 and max(shapes) == 512
    monkeypatch.setattr(
        model._encoder, "_embed_packed", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("RESOURCE_EXHAUSTED"))
    )
    assert "RESOURCE_EXHAUSTED" in model_handler._bisected(["plate"], model)[0].reason


def test_warm_up_compiles_every_shape(config):
    model = model_handler.JaxEmbedderHandler(config, k=K).load_model()
    compiled = model._encoder._embed_packed._cache_size()
    assert compiled > 1
    model([" ".join(["wing"] * n) for n in range(1, 80)])
    assert model._encoder._embed_packed._cache_size() == compiled


def test_an_embedding_that_is_not_finite_is_a_failure(loaded, monkeypatch):
    embed = loaded._encoder.embed

    def broken(texts):
        embedded = embed(texts)
        embedded.hidden[1] = np.nan
        return embedded

    monkeypatch.setattr(loaded._encoder, "embed", broken)
    results = loaded(["wing", "plate", "cone"])
    assert [type(result).__name__ for result in results] == ["Decoded", "Failed", "Decoded"]


def test_what_beam_asks_of_a_handler(config):
    handler = model_handler.JaxEmbedderHandler(config, min_batch_size=3, max_batch_size=9, model_copies=2)
    assert handler.batch_elements_kwargs() == {"min_batch_size": 3, "max_batch_size": 9}
    assert handler.get_num_bytes(["abc", "é"]) == 5
    assert handler.share_model_across_processes() and handler.model_copies() == 2
    assert handler.get_metrics_namespace() == "keytokens"
    pickle.loads(pickle.dumps(handler))
    with pytest.raises(ValueError, match=r"inference_args \['k'\]: this handler takes none"):
        handler.validate_inference_args({"k": 3})
    with pytest.raises(ValueError, match=r"k=100000 must be between 1 and the \d+ entries"):
        model_handler.JaxEmbedderHandler(config, k=100_000)
