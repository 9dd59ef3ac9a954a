"""The texts' own tokens, so that they can be compared with key tokens without corpus or model: tokens/text.

A string column, one row a text: the ids in decimal, in reading order, repeats included, separated by spaces. Rows
differ in length, workers write them apart, and every zarr library reads it; compressed it takes two bytes a token.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keytokens.pipelines.analysis.ragged import Ragged
from keytokens.pipelines.store import arrays, schema, strings
from keytokens.pipelines.store import files as store_files

GROUP = schema.TEXT_TOKENS.split("/", maxsplit=1)[0]


@dataclasses.dataclass(frozen=True)
class SpecialTokens:
    """Ids that are no text: attributes of the group `tokens`.

    Attributes:
      before: what the tokenizer puts before every text, without any prompt.
      after: and behind it.
      special: all ids of the vocabulary that are no text.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    special: tuple[int, ...]


def create(files: store_files.StoreFiles, dims: schema.Dimensions, special: SpecialTokens) -> None:
    """Writes the group and the metadata of the column; safe to repeat."""
    lists = {name: list(ids) for name, ids in dataclasses.asdict(special).items()}
    arrays.write_group(files, GROUP, {**schema.MAPPING, **lists})
    strings.create_column(files, schema.TEXT_TOKENS, num_rows=dims.num_rows, chunk_rows=dims.shard_rows)


def write_chunk(files: store_files.StoreFiles, dims: schema.Dimensions, index: int, rows: Sequence[np.ndarray]) -> None:
    """Writes the rows of one shard."""
    texts = [" ".join(map(str, row.tolist())) for row in rows]
    strings.write_chunk(files, schema.TEXT_TOKENS, index, texts, chunk_rows=dims.shard_rows)


def read(files: store_files.StoreFiles, dims: schema.Dimensions, row0: int, row1: int) -> Ragged:
    """The tokens of rows [row0, row1)."""
    texts: list[str] = []
    first, last = row0 // dims.shard_rows, -(-row1 // dims.shard_rows)
    for index in range(first, last):
        texts += strings.read_chunk(files, schema.TEXT_TOKENS, index)
    start = row0 - first * dims.shard_rows
    return Ragged.of([np.fromstring(text, np.int32, sep=" ") for text in texts[start : start + row1 - row0]])


def read_special(files: store_files.StoreFiles) -> SpecialTokens:
    """The special tokens, from the attributes of the group.

    Raises:
      ValueError: the group is not there or does not name them.
    """
    try:
        attributes = files.read_json(f"{GROUP}/zarr.json")["attributes"]  # type: ignore[index]
        found = SpecialTokens(**{name: tuple(attributes[name]) for name in ("before", "after", "special")})
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{files.url}: {GROUP}/zarr.json is missing or does not name the special tokens ({error!r}), so texts "
            "cannot be told from what stands around them. Launch the program that wrote the store again: it mends that."
        ) from error
    return found
