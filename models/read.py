"""`read_embedder`: from a name to an `EmbedderConfig`; whatever is wrong is found here, before any work."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keytokens.models import configuration, loading
from keytokens.models.embedder import missing_head
from keytokens.models.embedder_config import EmbedderConfig
from keytokens.models.errors import ModelError
from keytokens.models.locate import find_source, locate
from keytokens.models.recipe import Recipe
from keytokens.models.recipe_files import RecipeFiles, read_recipe_files
from keytokens.models.tokenizing import read_tokenizer
from keytokens.models.zoo import find_row

# Tokenizers without a limit say 1e30.
_NO_LIMIT = 1 << 24
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "tokenizer.model")


def read_embedder(
    name_or_path: str,
    *,
    pooling: str | None = None,
    prompt: str | None = None,
    prompt_name: str | None = None,
    normalize: bool | None = None,
    max_length: int | None = None,
    attention: str | None = None,
    dtype: str = "float32",
    head: str | None = None,
    recipe: Recipe | None = None,
    adapters: Sequence[str] = (),
) -> EmbedderConfig:
    """Everything about an embedder but its weights.

    Args:
      name_or_path: a registered name, a local directory in Hugging Face layout, or a hub id.
      pooling: how token states become one vector; like the following, over what registry and checkpoint say.
      prompt: text before (or, with {}, around) each document.
      prompt_name: takes the prompt of this name from the checkpoint's files.
      normalize: whether the embedder's own vectors are of unit length.
      max_length: tokens, special tokens included.
      attention: "causal" or "bidirectional".
      dtype: "float32", "bfloat16", or "int16" (see `loading.DTYPES`).
      head: checkpoint whose LM head decodes, where it is not the embedder's own.
      recipe: another embedder's recipe, whole; for a backbone that is compared with it. Who sees whom stays this
        model's own, unless `attention` is given: a backbone that was trained causal is run so.
      adapters: LoRA adapters to add, in this order: directories or hub ids.

    Raises:
      ModelError: anything that would fail later: files, configuration, tensors, recipe, head.
    """
    if dtype not in loading.DTYPES:
        raise ModelError(f"dtype={dtype!r} is not one of {', '.join(loading.DTYPES)}.")
    source = find_source(name_or_path, adapters)
    directory = source.directory
    row = find_row(name_or_path)
    files = read_recipe_files(directory)
    body = directory / files.body if source.base == directory else source.base
    given = {
        "pooling": pooling,
        "prompt": prompt if prompt_name is None else _named_prompt(files, prompt_name, directory),
        "normalize": normalize,
        "max_length": max_length,
        "attention": attention,
    }
    overrides: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if recipe is None:
        fields = _fields_of_files(files, directory) | dict(row.recipe if row else {}) | overrides
        is_length_given = "max_length" in fields
        recipe = _make_recipe(fields, name_or_path, directory, body)
    else:
        is_length_given = True
        own = {"attention": (row.recipe if row else {}).get("attention", "checkpoint")}
        recipe = dataclasses.replace(recipe, **own | overrides)
    added = tuple(map(str, source.adapters))
    plan = loading.plan_loading(
        str(body), adapters=added, attention=recipe.attention, decoder=recipe.pooling == "decoder"
    )
    positions = plan.spec.positions - plan.spec.first_position
    recipe = _bounded(recipe, positions, name_or_path, given=is_length_given)
    head_id = head or (row.head if row else "")
    head_directory = _head_body(head_id) if head_id else None
    head_plan = loading.plan_loading(head_directory) if head_directory else plan
    if head_plan.head is None:
        raise ModelError(missing_head(head_directory or str(directory)))
    _check_head_width(plan, head_plan)
    if head_directory:
        _check_head_vocabulary(_tokenizer_directory(directory, body), head_directory, head_plan.spec.vocab)
    return EmbedderConfig(
        name=_recorded_name(name_or_path) if row is None else name_or_path,
        directory=str(directory),
        tokenizer_directory=_tokenizer_directory(directory, body),
        body_directory=str(body),
        adapters=added,
        recipe=recipe,
        dtype=dtype,
        head_directory=head_directory,
        model_type=plan.model_type,
        spec=plan.spec,
        hidden_size=plan.spec.embed_width,
        vocab_size=head_plan.spec.vocab,
        default_backbone=row.backbone if row else "",
    )


def _recorded_name(name_or_path: str) -> str:
    """Of a directory its own name alone: what is recorded must not depend on where it lies."""
    path = Path(name_or_path).expanduser()
    return path.absolute().name if path.is_dir() else name_or_path


def _named_prompt(files: RecipeFiles, name: str, directory: Path) -> str:
    if name not in files.prompts:
        known = ", ".join(files.prompts) or "none"
        raise ModelError(f"{directory} names no prompt {name!r}; it names: {known}.")
    return files.prompts[name]


def _fields_of_files(files: RecipeFiles, directory: Path) -> dict[str, Any]:
    """The recipe fields that the checkpoint's own files give."""
    default = files.default_prompt
    fields = {
        "pooling": files.pooling,
        "include_prompt": files.include_prompt,
        "normalize": files.normalize,
        "max_length": files.max_length,
        "lowercase": files.lowercase,
        "prompt": _named_prompt(files, default, directory) if default else files.prompts.get("document"),
        "query_prompt": files.prompts.get("query"),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _make_recipe(fields: dict[str, Any], name: str, directory: Path, body: Path) -> Recipe:
    if "pooling" not in fields:
        raise ModelError(
            f"{name} does not say how token states become one vector: it has no modules.json of sentence-transformers "
            "and is not registered. Say pooling='mean', 'weightedmean', 'lasttoken' or 'cls'."
        )
    if "max_length" not in fields:
        fields = fields | {"max_length": _default_length(body, _tokenizer_directory(directory, body))}
    return Recipe(**fields)


def _default_length(body: Path, tokenizer_directory: str) -> int:
    """Tokens, where nobody says how many: as many as configuration and tokenizer allow, or 512 if neither says."""
    configured = getattr(configuration.read_config(body), "max_position_embeddings", None)
    allowed = read_tokenizer(tokenizer_directory).model_max_length
    if type(allowed) not in (int, float, type(None)):
        raise ModelError(
            f"{tokenizer_directory} says model_max_length={allowed!r}, which has to be a number: what was meant cannot "
            "be guessed. Correct its tokenizer_config.json, or give max_length=..."
        )
    return int(min([limit for limit in (configured, allowed) if limit and limit < _NO_LIMIT] or [512]))


def _bounded(recipe: Recipe, positions: int, name: str, *, given: bool) -> Recipe:
    """The recipe, whose texts must fit a learned position table: a length that nobody gave is cut to it."""
    if 0 < positions < recipe.max_length:
        if not given:
            return dataclasses.replace(recipe, max_length=positions)
        raise ModelError(
            f"max_length={recipe.max_length} exceeds the {positions} positions that {name} has learned; give at most "
            f"max_length={positions}."
        )
    return recipe


def _tokenizer_directory(directory: Path, body: Path) -> str:
    """Adapters and old sentence-transformers checkpoints leave the tokenizer with the weights."""
    return str(directory if any((directory / name).is_file() for name in _TOKENIZER_FILES) else body)


def _head_body(name_or_path: str) -> str:
    directory = locate(name_or_path)
    return str(directory / read_recipe_files(directory).body)


def _check_head_vocabulary(own: str, head: str, rows: int) -> None:
    """Rows of another vocabulary would be named wrongly. Special tokens may differ: embedders rename them."""
    if not any((Path(head) / name).is_file() for name in _TOKENIZER_FILES):
        return
    tokenizers = [read_tokenizer(own), read_tokenizer(head)]
    shared = min(rows, *map(len, tokenizers))
    special = {token_id for tokenizer in tokenizers for token_id in tokenizer.all_special_ids}
    ours, theirs = (tokenizer.convert_ids_to_tokens(list(range(shared))) for tokenizer in tokenizers)
    for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a != b and number not in special:
            raise ModelError(
                f"token {number} is {a!r} to the tokenizer of {own} and {b!r} to that of {head}: that head has another "
                "vocabulary, and would name its rows wrongly. Give the head of this embedder's own backbone."
            )


def _check_head_width(plan: loading.Plan, head: loading.Plan) -> None:
    if head.spec.embed_width != plan.spec.embed_width:
        raise ModelError(
            f"the head of {head.directory} reads vectors of size {head.spec.embed_width}, and {plan.directory} makes "
            f"vectors of size {plan.spec.embed_width}: it is not the head of its backbone."
        )
