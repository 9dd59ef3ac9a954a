"""Which arrays does a store have? The one place that names them, with their dtypes, shapes and shards.

N rows, V vocabulary entries, k postings a row, D hidden size, U work units, R rows a shard.
"""

import dataclasses

from keytokens.pipelines.store import arrays

CHUNK_ROWS = 256

INDICES = "X/indices"
DATA = "X/data"
INDPTR = "X/indptr"
DOC_ID = "obs/doc_id"
EMBEDDINGS = "obsm/embeddings"
BACKBONE_EMBEDDINGS = "obsm/backbone_embeddings"
TEXT_TOKENS = "tokens/text"
TOKEN = "var/token"
DUPLICATE_ID = "obs/duplicate_id"

# Column of `obs` -> dtype. duplicate_id is written by the last step, which alone sees the whole corpus.
OBS_COLUMNS = {
    "n_tokens": "int32",
    "truncated": "bool",
    "norm": "float32",
    "logsumexp": "float32",
    "hits_at_10": "int32",
    "dead_letter": "bool",
    "duplicate_id": "bool",
}
MOMENTS_OF = ("embedder", "backbone")
MAPPING = {"encoding-type": "dict", "encoding-version": "0.1.0"}  # AnnData's name for a group of arrays


@dataclasses.dataclass(frozen=True)
class Dimensions:
    """The sizes that fix every array's shape.

    Attributes:
      num_rows: N, rows of the corpus, dead letters included.
      vocab_size: V.
      k: postings a row.
      hidden_size: D.
      unit_rows: rows of a work unit, a multiple of shard_rows.
      shard_rows: R, rows of one file of an array.
      save_embeddings: whether obsm/embeddings exists.
      has_backbone: whether moments of a backbone, and cross moments, exist.
      save_backbone_embeddings: whether obsm/backbone_embeddings exists.
      has_text_tokens: whether tokens/text exists; stores of the first days have none.
    """

    num_rows: int
    vocab_size: int
    k: int
    hidden_size: int
    unit_rows: int
    shard_rows: int
    save_embeddings: bool
    has_backbone: bool
    save_backbone_embeddings: bool = False
    has_text_tokens: bool = False

    @property
    def num_units(self) -> int:
        """U."""
        return -(-self.num_rows // self.unit_rows)

    @property
    def chunk_rows(self) -> int:
        """Rows that one read decompresses: at most 256, and a divisor of the shard's rows."""
        return next(rows for rows in range(min(CHUNK_ROWS, self.shard_rows), 0, -1) if self.shard_rows % rows == 0)


def row_arrays(dims: Dimensions) -> dict[str, arrays.ArraySpec]:
    """The arrays that units write, a whole shard at a time: path -> layout."""

    def postings(path: str, dtype: str) -> arrays.ArraySpec:
        shard, chunk = dims.shard_rows * dims.k, dims.chunk_rows * dims.k
        return arrays.ArraySpec(path, dtype, (dims.num_rows * dims.k,), (shard,), (chunk,))

    rows = (dims.shard_rows,)
    specs = [
        postings(INDICES, "int32"),
        postings(DATA, "float32"),
        arrays.ArraySpec(INDPTR, "int64", (dims.num_rows + 1,), rows, rows),
    ]
    specs += [
        arrays.ArraySpec(f"obs/{name}", dtype, (dims.num_rows,), rows, rows) for name, dtype in OBS_COLUMNS.items()
    ]
    for path, wanted in ((EMBEDDINGS, dims.save_embeddings), (BACKBONE_EMBEDDINGS, dims.save_backbone_embeddings)):
        if wanted:
            sizes = (dims.num_rows, dims.shard_rows, dims.chunk_rows)
            shape, shard, chunk = ((size, dims.hidden_size) for size in sizes)
            specs.append(arrays.ArraySpec(path, "float32", shape, shard, chunk, compressed=False))
    return {spec.path: spec for spec in specs}


def partial_moment_arrays(dims: Dimensions) -> dict[str, arrays.ArraySpec]:
    """The moments of each unit, one chunk a unit: centred, symmetric matrices as their packed upper triangle."""
    packed = dims.hidden_size * (dims.hidden_size + 1) // 2

    def per_unit(path: str, dtype: str, *shape: int) -> arrays.ArraySpec:
        return arrays.ArraySpec(
            f"run/moments/{path}", dtype, (dims.num_units, *shape), (1, *shape), (1, *shape), compressed=False
        )

    specs = [per_unit("count", "int64")]
    for model in MOMENTS_OF[: 1 + dims.has_backbone]:
        specs.append(per_unit(f"{model}/mean", "float64", dims.hidden_size))
        specs.append(per_unit(f"{model}/unit_sum", "float64", dims.hidden_size))
        specs.append(per_unit(f"{model}/scatter", "float64", packed))
    if dims.has_backbone:
        specs.append(per_unit("cross/scatter", "float64", dims.hidden_size, dims.hidden_size))
    return {spec.path: spec for spec in specs}


def final_moment_arrays(dims: Dimensions) -> dict[str, arrays.ArraySpec]:
    """The moments of all rows, which the last step writes."""
    vector, matrix = (dims.hidden_size,), (dims.hidden_size, dims.hidden_size)
    specs = []
    for model in MOMENTS_OF[: 1 + dims.has_backbone]:
        specs.append(arrays.whole_spec(f"moments/{model}/count", "int64", ()))
        for name, shape in (("sum", vector), ("unit_sum", vector), ("second_moment", matrix), ("covariance", matrix)):
            specs.append(arrays.whole_spec(f"moments/{model}/{name}", "float64", shape))
    if dims.has_backbone:
        specs += [
            arrays.whole_spec(f"moments/cross/{name}", "float64", matrix) for name in ("second_moment", "covariance")
        ]
    return {spec.path: spec for spec in specs}


def groups(dims: Dimensions) -> dict[str, dict]:
    """Every zarr group with its attributes, in AnnData's encodings where it has one; the root is the manifest's."""
    frame = {"encoding-type": "dataframe", "encoding-version": "0.2.0"}
    found: dict[str, dict] = {
        "X": {
            "encoding-type": "csr_matrix",
            "encoding-version": "0.1.0",
            "shape": [dims.num_rows, dims.vocab_size],
        },
        "obs": {**frame, "_index": "doc_id", "column-order": list(OBS_COLUMNS)},
        "var": {**frame, "_index": "token", "column-order": []},
        "moments": MAPPING,
        "run": {},
        "run/moments": {},
    }
    models = [*MOMENTS_OF[: 1 + dims.has_backbone], *(["cross"] if dims.has_backbone else [])]
    for model in models:
        found[f"moments/{model}"] = MAPPING
        found[f"run/moments/{model}"] = {}
    if dims.save_embeddings:
        found["obsm"] = MAPPING
    return found
