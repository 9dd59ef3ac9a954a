"""Embeddings and key tokens inside a Beam pipeline of your own: a ModelHandler for RunInference on JAX.

  from apache_beam.ml.inference.base import RunInference
  from keytokens import models
  from keytokens.pipelines import model_handler

  handler = model_handler.JaxEmbedderHandler(models.read_embedder("all-minilm-l6-v2"), k=10)
  decoded = texts | RunInference(handler)  # str -> Decoded

It works inside KeyedModelHandler and with model_copies or large_model. Texts that cannot be embedded do not take their
batch with them: see `or_fail`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from apache_beam.ml.inference import base

from keytokens import models
from keytokens.pipelines import encoder


class Decoded(NamedTuple):
    """What one text decodes to.

    Attributes:
      embedding: float32 [D], not normalised.
      token_ids: int32 [k], best first; empty without `k`.
      logits: float32 [k].
      tokens: the k tokens as the tokenizer spells them.
    """

    embedding: np.ndarray
    token_ids: np.ndarray
    logits: np.ndarray
    tokens: tuple[str, ...]


class Failed(NamedTuple):
    """A text that has no embedding, and why; stands where its `Decoded` would."""

    text: Any
    reason: str


class FailedTextError(ValueError):
    """At least one text has no embedding."""


def or_fail(result: Any) -> Any:
    """The result itself, keyed or not; for use with `with_postprocess_fn`, where it dead-letters single texts.

    A handler made with `keep_failures=True` returns `Failed` in the place of a bad text. Beam dead-letters what a
    postprocessing function raises for, one element at a time, and whole batches only if inference itself raises:

      keyed = KeyedModelHandler(JaxEmbedderHandler(config, keep_failures=True)).with_postprocess_fn(or_fail)
      good, bad = texts | RunInference(keyed).with_exception_handling()  # bad.failed_postprocessing[0]

    Raises:
      FailedTextError: the result is a failure.
    """
    keyed = isinstance(result, tuple) and not isinstance(result, Decoded | Failed) and len(result) == 2
    value = result[1] if keyed else result
    if isinstance(value, Failed):
        raise FailedTextError(f"{value.text!r:.200} cannot be embedded: {value.reason}")
    return result


class JaxEmbedderHandler(base.ModelHandler[str, Decoded | Failed, "_Model"]):
    """Texts to embeddings and, with `k`, to their key tokens.

    Texts are sorted by length and padded to a fixed ladder of shapes, so that XLA compiles few programs. If the device
    runs out of memory the token budget is halved, for good. A batch that fails for another reason is bisected.

    Args:
      config: from `models.read_embedder`.
      k: key tokens per text; None for embeddings only.
      batch_tokens: tokens computed together, padding included; 0 for the device's default.
      warm_up: compile every shape while loading rather than when the first text of that length comes.
      keep_failures: return `Failed` in the place of a bad text; otherwise its batch raises, naming it.
      min_batch_size: fewest texts that Beam hands over together, where there are as many.
      max_batch_size: most texts; a few hundred give sorting by length something to sort.
      max_batch_duration_secs: as in Beam, for streams.
      large_model: as in Beam: one copy for all processes of a machine.
      model_copies: as in Beam: how many.
      env_vars: as in Beam: set before the model is loaded.
    """

    def __init__(
        self,
        config: models.EmbedderConfig,
        *,
        k: int | None = None,
        batch_tokens: int = 0,
        warm_up: bool = True,
        keep_failures: bool = False,
        min_batch_size: int | None = 64,
        max_batch_size: int | None = 512,
        max_batch_duration_secs: int | None = None,
        large_model: bool = False,
        model_copies: int | None = None,
        env_vars: Mapping[str, str] | None = None,
    ):
        super().__init__(
            min_batch_size=min_batch_size,
            max_batch_size=max_batch_size,
            max_batch_duration_secs=max_batch_duration_secs,
            large_model=large_model,
            model_copies=model_copies,
            env_vars=dict(env_vars or {}),
        )
        if k is not None and not 1 <= k <= config.vocab_size:
            raise ValueError(
                f"k={k} must be between 1 and the {config.vocab_size} entries of {config.name}'s vocabulary, or None "
                "for embeddings only."
            )
        self._config, self._k, self._batch_tokens = config, k, batch_tokens
        self._warm_up, self._keep_failures = warm_up, keep_failures

    def load_model(self) -> "_Model":
        """Loads weights and tokenizer and compiles; Beam calls it once a process, or once a copy."""
        return _Model(encoder.Encoder(self._config, batch_tokens=self._batch_tokens), self._k, warm_up=self._warm_up)

    def run_inference(
        self, batch: Sequence[str], model: "_Model", inference_args: dict[str, Any] | None = None
    ) -> Iterable[Decoded | Failed]:
        """One result a text, in order.

        Raises:
          FailedTextError: some texts have no embedding, and failures are not kept; names the first.
        """
        results = _bisected(list(batch), model)
        failed = [result for result in results if isinstance(result, Failed)]
        if failed and not self._keep_failures:
            raise FailedTextError(
                f"{len(failed)} of {len(batch)} texts cannot be embedded; the first, {failed[0].text!r:.200}: "
                f"{failed[0].reason}. To keep the others, use keep_failures=True and "
                "with_postprocess_fn(model_handler.or_fail)."
            )
        return results

    def get_num_bytes(self, batch: Sequence[str]) -> int:
        """UTF-8 bytes of the texts. (Beam's default pickles the whole batch for this number.)"""
        return sum(len(text.encode("utf-8", "surrogatepass")) for text in batch if isinstance(text, str))

    def get_metrics_namespace(self) -> str:
        """Of the metrics that RunInference keeps."""
        return "keytokens"

    def validate_inference_args(self, inference_args: dict[str, Any] | None) -> None:
        """There are none."""
        if inference_args:
            raise ValueError(f"inference_args {sorted(inference_args)}: this handler takes none; set them on it.")

    def update_model_path(self, model_path: str | None = None) -> None:
        """A newer checkpoint of the same recipe, from Beam's automatic model refresh."""
        if model_path:
            self._config = models.read_embedder(model_path, recipe=self._config.recipe, dtype=self._config.dtype)


class _Model:
    """What RunInference loads and shares: texts in, numpy out, so that it may live in another process."""

    def __init__(self, loaded: encoder.Encoder, k: int | None, *, warm_up: bool):
        self._encoder, self._k = loaded, k
        self._strings = loaded.embedder.token_strings
        if warm_up:
            loaded.warm_up(k)

    def __call__(self, texts: list[str]) -> list[Decoded | Failed]:
        while True:
            try:
                return self._decode(texts)
            except Exception as error:
                # XlaRuntimeError has no code of its own for this.
                if "RESOURCE_EXHAUSTED" not in str(error) or not self._encoder.halve_batches():
                    raise

    def _decode(self, texts: list[str]) -> list[Decoded | Failed]:
        hidden = self._encoder.embed(texts).hidden
        n, k = len(texts), self._k or 0
        ids, logits = np.zeros((n, 0), np.int32), np.zeros((n, 0), np.float32)
        if k:
            aligned = self._encoder.align(hidden, k)
            ids, logits = aligned.indices, aligned.values
        good = np.isfinite(hidden).all(1) & np.isfinite(logits).all(1)
        return [
            Decoded(hidden[i], ids[i], logits[i], tuple(self._strings[token] for token in ids[i]))
            if good[i]
            else Failed(text, "the model returned NaN or infinity")
            for i, text in enumerate(texts)
        ]


def _bisected(texts: list[str], model: _Model) -> list[Decoded | Failed]:
    """The model's results; a list that fails is halved until the texts that make it fail stand alone."""
    if not texts:
        return []
    try:
        return model(texts)
    except Exception as error:
        if len(texts) == 1:
            return [Failed(texts[0], f"{type(error).__name__}: {error}")]
        half = len(texts) // 2
        return _bisected(texts[:half], model) + _bisected(texts[half:], model)
