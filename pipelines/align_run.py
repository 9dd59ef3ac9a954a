"""One run of the main job: what it is, what must hold before it starts, and the plan it follows."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from keytokens import models
from keytokens.models import tokenizing
from keytokens.pipelines import align_output, corpus, encoder, plan, store
from keytokens.pipelines.store import arrays, identity, schema, token_column, writer
from keytokens.pipelines.store import files as store_files

PROGRAM_VERSION = "0.1.0"
SHARD_ROWS = 4096
# Partial moments may take this share of a unit's postings before units grow: at D = 4096 they are 64 MB a model.
_MOMENTS_SHARE = 0.25


@dataclasses.dataclass(frozen=True)
class AlignOptions:
    """What the user asked for.

    Attributes:
      model: the embedder.
      backbone: its backbone, whose moments are taken in the same pass, or None.
      corpus: paths and globs.
      corpus_format: "auto", "jsonl" or "text".
      output: local path or kvstore URL of the store.
      k: postings a row.
      save_embeddings: also write obsm/embeddings and, of a backbone, obsm/backbone_embeddings.
      unit_rows: rows of a work unit; 0 lets the sizes decide.
      batch_tokens: token budget of a batch; 0 for the device's default.
      overwrite: replace an existing store of another run, or a finished one; one of this run that is not finished is
        gone on with, so that launching again with the same options loses nothing. Without `resume`, replace any.
      resume: go on with an existing store of the same run; without it, one that exists is refused.
    """

    model: models.EmbedderConfig
    backbone: models.EmbedderConfig | None
    corpus: Sequence[str]
    output: str
    corpus_format: str = "auto"
    k: int = 256
    save_embeddings: bool = False
    unit_rows: int = 0
    batch_tokens: int = 0
    overwrite: bool = False
    resume: bool = True


@dataclasses.dataclass(frozen=True)
class AlignRun:
    """What a worker needs to know: no flags, no corpus, no plan."""

    output: str
    model: models.EmbedderConfig
    backbone: models.EmbedderConfig | None
    dims: schema.Dimensions
    batch_tokens: int
    identity_sha256: str


def prepare(options: AlignOptions) -> tuple[AlignRun, plan.Plan]:
    """Checks everything that can be checked before work, plans the units and creates or adopts the store.

    What costs seconds is checked before the corpus is read, which may take hours.

    Raises:
      ValueError: impossible options, no corpus, a tokenizer that cannot be read or a prompt that fills max_length, an
        output that cannot be written or belongs to something else. Nothing has been written or deleted then.
    """
    _check(options)
    wish = align_output.Wish(resume=options.resume, overwrite=options.overwrite)
    files = align_output.open_files(options.output)
    dims = _dimensions(options)
    align_output.check(files, _identity(options, dims, corpus_sha256=""), wish)
    found = corpus.match_files(options.corpus, file_format=options.corpus_format)
    vocabulary = _read_vocabulary(options)
    planned = plan.plan_units(found, dims.unit_rows)
    dims = dataclasses.replace(dims, num_rows=planned.num_rows)
    described = _identity(options, dims, corpus_sha256=planned.corpus_sha256)
    resumes = align_output.take(files, described, wish)
    try:
        if not resumes:
            write_manifest(files, described, manifest_files(planned), counts=None)
        writer.create_skeleton(files, dims, vocabulary.tokens, special=vocabulary.special)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"--output={files.url} cannot be written ({error}); no text was embedded. Check the path, its permissions "
            "and the free space."
        ) from error
    run = AlignRun(
        files.url, options.model, options.backbone, dims, options.batch_tokens, identity.identity_sha256(described)
    )
    return run, planned


def _dimensions(options: AlignOptions) -> schema.Dimensions:
    """The store's sizes but for its rows, which the plan counts."""
    unit_rows, shard_rows = unit_and_shard_rows(options)
    return schema.Dimensions(
        num_rows=0,
        vocab_size=options.model.vocab_size,
        k=options.k,
        hidden_size=options.model.hidden_size,
        unit_rows=unit_rows,
        shard_rows=shard_rows,
        save_embeddings=options.save_embeddings,
        has_backbone=options.backbone is not None,
        save_backbone_embeddings=options.save_embeddings and options.backbone is not None,
        has_text_tokens=True,
    )


class _Vocabulary(NamedTuple):
    tokens: list[str]
    special: token_column.SpecialTokens


def _read_vocabulary(options: AlignOptions) -> _Vocabulary:
    """What the store keeps of the tokenizer, once every tokenizer takes its recipe as it must on a worker.

    Raises:
      ModelError: one of them cannot be read, or its prompt fills max_length.
    """
    for config in (options.model, options.backbone):
        if config is not None:
            tokenizer = tokenizing.read_tokenizer(config.tokenizer_directory)
            for query in (False, True):
                tokenizing.TextTokenizer(tokenizer, config.recipe, query=query)
    special = models.read_special_tokens(options.model)
    return _Vocabulary(models.read_token_strings(options.model), token_column.SpecialTokens(**special._asdict()))


def unit_and_shard_rows(options: AlignOptions) -> tuple[int, int]:
    """Rows of a unit and of a shard: a shard holds at most 4,096 rows, a unit is whole shards.

    Without a wish, a unit grows by doubling from 4,096 rows until its partial moments are at most a quarter of its
    postings.
    """
    if options.unit_rows:
        shard_rows = min(options.unit_rows, SHARD_ROWS)
        if options.unit_rows % shard_rows:
            raise ValueError(
                f"--unit_rows={options.unit_rows} is above {SHARD_ROWS} and no multiple of it; a unit writes whole "
                f"shards of {SHARD_ROWS} rows. Use {options.unit_rows // SHARD_ROWS * SHARD_ROWS}."
            )
        return options.unit_rows, shard_rows
    size = options.model.hidden_size
    moment_bytes = size * size * (4 if options.backbone is None else 16)
    unit_rows = SHARD_ROWS
    while moment_bytes > _MOMENTS_SHARE * unit_rows * options.k * 8:
        unit_rows *= 2
    return unit_rows, SHARD_ROWS


def _check(options: AlignOptions) -> None:
    vocab_size, hidden_size = options.model.vocab_size, options.model.hidden_size
    if not 1 <= options.k <= vocab_size:
        raise ValueError(
            f"--k={options.k} must be between 1 and the {vocab_size} entries of {options.model.name}'s vocabulary; "
            "there are no more tokens to keep."
        )
    if options.backbone is not None and options.backbone.hidden_size != hidden_size:
        raise ValueError(
            f"--backbone={options.backbone.name} has hidden size {options.backbone.hidden_size} and "
            f"{options.model.name} has {hidden_size}: they are not embedder and backbone, and their spectra cannot be "
            "compared. Name the model that the embedder was trained from."
        )


def _identity(options: AlignOptions, dims: schema.Dimensions, *, corpus_sha256: str) -> dict[str, Any]:
    return {
        "schema_version": store.SCHEMA_VERSION,
        "model": options.model.identity(),
        "backbone": None if options.backbone is None else options.backbone.identity(),
        "corpus_sha256": corpus_sha256,
        "dimensions": dataclasses.asdict(dims),
        "batch_tokens": options.batch_tokens,
        "arithmetic": encoder.ARITHMETIC,
        "weighting": "raw logits",
    }


def manifest_files(planned: plan.Plan) -> list[dict[str, Any]]:
    """The corpus files as the manifest lists them."""
    return [
        {**dataclasses.asdict(f.file), "bytes": f.num_bytes, "sha256": f.sha256, "rows": f.num_rows}
        for f in planned.files
    ]


def write_manifest(
    files: store_files.StoreFiles,
    described: dict[str, Any],
    corpus_files: list[dict[str, Any]],
    *,
    counts: dict[str, int] | None,
) -> None:
    """Writes the root group's attributes; `counts` None marks a run that has not finished."""
    manifest = {
        "schema_version": store.SCHEMA_VERSION,
        "program_version": PROGRAM_VERSION,
        "identity": described,
        "dimensions": described["dimensions"],
        "corpus_files": corpus_files,
        "counts": counts,
        "complete": counts is not None,
    }
    arrays.write_group(files, "", {identity.MANIFEST_KEY: manifest})
