"""Our searches as MTEB drives them: `SparseSearch` is a SearchProtocol, `DenseEncoder` an EncoderProtocol.

  mteb.evaluate(mteb_adapters.SparseSearch(models.read_embedder("all-minilm-l6-v2"), "work"), task)

MTEB scores a sparse encoder that it takes for a dense one without a word; a SearchProtocol is asked for documents, so
there is nothing to mistake. MTEB itself is not a dependency: install it beside Keytokens.
"""

import json
import pathlib
import re
from typing import Any

import numpy as np

from keytokens import models
from keytokens.pipelines import align_run, cli, encoder, engines, transforms
from keytokens.pipelines.retrieval import build, runs
from keytokens.pipelines.retrieval.index import Index
from keytokens.pipelines.retrieval.options import IndexOptions, QueryOptions


def _meta(config: models.EmbedderConfig, kind: str) -> Any:
    """MTEB's card of the model; nothing is claimed that is unknown."""
    from mteb.models.model_meta import ModelMeta

    name = re.sub(r"[^\w.-]+", "-", pathlib.Path(config.name).name)
    return ModelMeta(
        loader=None,
        name=f"keytokens/{name}-{kind}",
        revision=config.fingerprint()["weights_sha256"][:12],
        release_date=None,
        languages=None,
        n_parameters=None,
        memory_usage_mb=None,
        max_tokens=config.recipe.max_length,
        embed_dim=config.hidden_size,
        license=None,
        open_weights=None,
        public_training_code=None,
        public_training_data=None,
        framework=[],
        similarity_fn_name="cosine" if kind == "dense" else "dot",
        use_instructions=bool(config.recipe.prompt),
        training_datasets=None,
    )


class SparseSearch:
    """A search over a store's inverted index; the store is made from the corpus that MTEB hands over.

    Args:
      config: the embedder.
      directory: where stores go, one a task, split and subset; a store that is there already is used again.
      index_options: how documents become postings.
      query_options: how queries are searched; any mode, "dense" included.
    """

    def __init__(
        self,
        config: models.EmbedderConfig,
        directory: str | pathlib.Path,
        *,
        index_options: IndexOptions | None = None,
        query_options: QueryOptions | None = None,
    ):
        self._config, self._directory = config, pathlib.Path(directory)
        self._index_options, self._query_options = index_options or IndexOptions(), query_options or QueryOptions()
        self._index: Index | None = None
        self.mteb_model_meta = _meta(config, self._query_options.mode)

    def index(self, corpus: Any, *, task_metadata: Any, hf_split: str, hf_subset: str, **unused: Any) -> None:
        """Embeds and indexes the corpus: rows with `id`, `text` and perhaps `title`."""
        directory = self._directory / re.sub(r"\W+", "_", f"{task_metadata.name}_{hf_split}_{hf_subset}")
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "corpus.jsonl").open("w", encoding="utf-8") as file:
            for row in corpus:
                record = {"_id": row["id"], "title": row.get("title") or "", "text": row["text"]}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        options = align_run.AlignOptions(
            model=self._config,
            backbone=None,
            corpus=(str(directory / "corpus.jsonl"),),
            output=str(directory / "store.zarr"),
            k=min(align_run.AlignOptions.k, self._config.vocab_size),
            save_embeddings=True,
        )
        run, planned = align_run.prepare(options)
        beam_options = cli.beam_options([])
        with engines.pipeline(beam_options) as pipeline:
            transforms.define_pipeline(pipeline, run, planned.units)
        build.build(run.output, self._index_options, beam_options, model=self._config, overwrite=True)
        self._index = Index.open(run.output, model=self._config)

    def search(
        self,
        queries: Any,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        top_ranked: Any = None,
        **unused: Any,
    ) -> dict[str, dict[str, float]]:
        """Query id -> document id -> score, of the `top_k` best, or of the documents in `top_ranked` where it is given.

        Of several rows with one id the best counts.

        Raises:
          ValueError: nothing was indexed.
        """
        if self._index is None:
            raise ValueError("search was called before index; MTEB calls index first.")
        ids = list(queries["id"])
        vectors = self._index.encode(list(queries["text"]), self._query_options)
        found = {}
        for name, vector in zip(ids, vectors, strict=True):
            rows = self._index.store.dims.num_rows if top_ranked is not None else top_k + self._index.num_repeated
            hits = runs.named(self._index, self._index.rank(vector, rows, self._query_options))
            if top_ranked is not None:
                wanted = set(top_ranked[name])
                hits = (hit for hit in hits if hit[0] in wanted)
            found[name] = dict(runs.distinct(hits, top_k))
        return found


class DenseEncoder:
    """The embedder itself, for every task of MTEB that takes vectors.

    Args:
      config: the embedder.
    """

    def __init__(self, config: models.EmbedderConfig):
        self._loaded = encoder.shared_encoder(config)
        self.mteb_model_meta = _meta(config, "dense")

    def encode(
        self, inputs: Any, *, task_metadata: Any, hf_split: str, hf_subset: str, prompt_type: Any = None, **unused: Any
    ) -> np.ndarray:
        """Unit embeddings float32 [n, D] of the batches' texts; queries with the recipe's query prompt."""
        texts = [text for batch in inputs for text in batch["text"]]
        hidden = self._loaded.embed(texts, query=getattr(prompt_type, "value", prompt_type) == "query").hidden
        norms = np.linalg.norm(hidden, axis=1, keepdims=True)
        return np.divide(hidden, norms, out=np.zeros_like(hidden), where=norms > 0)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Dot products of all pairs, a tensor [n, m]: cosines, since `encode` returns unit vectors."""
        import torch

        return torch.as_tensor(embeddings1) @ torch.as_tensor(embeddings2).T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Dot products of the rows pair by pair, a tensor [n]."""
        import torch

        return (torch.as_tensor(embeddings1) * torch.as_tensor(embeddings2)).sum(-1)
