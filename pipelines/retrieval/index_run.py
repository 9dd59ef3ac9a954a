"""One build of an index: what it is, where its parts lie, and what must hold before it starts.

N rows, V vocabulary, F = V or 2V columns of the index (key tokens, then literal tokens where they are a field of their
own). The build has two steps that workers share out: *blocks* of rows become small inverted indices, and *shards* of
the final arrays gather each token's postings from all blocks. A block or shard is done when its marker says so.
"""

import dataclasses
import hashlib
from typing import Any

from keytokens import models
from keytokens.pipelines.retrieval.options import IndexOptions
from keytokens.pipelines.store import arrays, identity, reader
from keytokens.pipelines.store import files as store_files

GROUP = "X_T"
DATA, INDICES, INDPTR = f"{GROUP}/data", f"{GROUP}/indices", f"{GROUP}/indptr"
RETRIEVAL = "retrieval"
WORK = "run/index"
ATTRIBUTE = "keytokens_index"
VERSION = 1
# Rows of a block: 65,536 rows of 256 postings are 134 MB of impacts and rows, and as much while they are sorted.
BLOCK_ROWS = 65_536
# Postings of one file of X_T, and of the piece that one read decompresses.
SHARD_POSTINGS, CHUNK_POSTINGS = 1 << 22, 1 << 15


@dataclasses.dataclass(frozen=True)
class IndexRun:
    """What a worker needs to know.

    Attributes:
      store: URL.
      model: the embedder that wrote the store.
      options: of the index.
      block_rows: rows of a block.
      shard_postings: postings of a shard.
      digest: of everything that decides the index; markers carry it.
    """

    store: str
    model: models.EmbedderConfig
    options: IndexOptions
    block_rows: int
    shard_postings: int
    digest: str

    def blocks(self, num_rows: int) -> list[tuple[int, int, int]]:
        """(number, row0, row1) of every block."""
        starts = range(0, num_rows, self.block_rows)
        return [(number, row0, min(row0 + self.block_rows, num_rows)) for number, row0 in enumerate(starts)]


def needs_decoding(options: IndexOptions) -> bool:
    """Whether key tokens are selected anew from the embeddings, rather than taken from the store's postings."""
    return options.decoding != "plain" or options.centred or options.without_first


def num_columns(options: IndexOptions, vocab_size: int) -> int:
    """F."""
    return 2 * vocab_size if options.literal == "separate" else vocab_size


def describe(store: reader.StoreReader, options: IndexOptions) -> dict[str, Any]:
    """Everything that decides the index, ready for JSON."""
    return {
        "version": VERSION,
        "store_sha256": identity.identity_sha256(store.manifest["identity"]),
        "options": dataclasses.asdict(options),
    }


def digest_of(described: dict[str, Any], *, block_rows: int, shard_postings: int) -> str:
    """What a marker carries; the block size decides no weight, but for rounding, and which parts there are."""
    value = {**described, "block_rows": block_rows, "shard_postings": shard_postings}
    return hashlib.sha256(store_files.canonical_json(value)).hexdigest()


def read_index_attributes(files: store_files.StoreFiles) -> dict[str, Any] | None:
    """What the finished index says of itself; None where there is none."""
    group = files.read_json(f"{GROUP}/zarr.json")
    return None if group is None else group["attributes"].get(ATTRIBUTE)


def marker_key(step: str, number: int) -> str:
    """Where the marker of a block or shard lies."""
    return f"{WORK}/{step}/{number:08d}.json"


def read_marker(files: store_files.StoreFiles, run: IndexRun, step: str, number: int) -> dict[str, Any] | None:
    """The marker, if this run or an earlier start of it wrote it."""
    value = files.read_json(marker_key(step, number))
    return value if value is not None and value["digest"] == run.digest else None


def write_marker(files: store_files.StoreFiles, run: IndexRun, step: str, number: int, **counts: Any) -> dict[str, Any]:
    """Marks a block or shard done: the last write of its work."""
    value = {"digest": run.digest, "number": number, **counts}
    files.write_json(marker_key(step, number), value)
    return value


def flat_spec(path: str, dtype: str, size: int, *, shard: int = CHUNK_POSTINGS) -> arrays.ArraySpec:
    """A one-dimensional array in chunks of 32,768 elements, or in shards of those."""
    chunk = min(CHUNK_POSTINGS, shard)
    return arrays.ArraySpec(path, dtype, (size,), (shard // chunk * chunk,), (chunk,))
