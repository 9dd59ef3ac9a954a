"""Writes a store: its skeleton before the run, whole shards and partial moments while it runs."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorstore as ts

from keytokens.pipelines.analysis import moments
from keytokens.pipelines.store import arrays, schema, strings, token_column
from keytokens.pipelines.store import files as store_files


@dataclasses.dataclass(frozen=True)
class ShardRows:
    """What one shard holds for its n rows.

    Attributes:
      row0: number of the first row; a multiple of shard_rows.
      doc_ids: n strings.
      indices: int32 [n, k], ascending in every row (canonical CSR; the weights give the rank back).
      values: float32 [n, k], the logits of those tokens; all 0 in the row of a dead letter.
      obs: the columns of schema.OBS_COLUMNS that units write, [n] each.
      embeddings: float32 [n, D], or None.
      backbone_embeddings: float32 [n, D], or None.
      text_tokens: of each row the ids of the text's own tokens, in reading order, repeats included; or None.
    """

    row0: int
    doc_ids: Sequence[str]
    indices: np.ndarray
    values: np.ndarray
    obs: Mapping[str, np.ndarray]
    embeddings: np.ndarray | None
    backbone_embeddings: np.ndarray | None = None
    text_tokens: Sequence[np.ndarray] | None = None


def create_skeleton(
    files: store_files.StoreFiles,
    dims: schema.Dimensions,
    tokens: Sequence[str],
    *,
    special: token_column.SpecialTokens | None = None,
) -> None:
    """All groups, arrays and the vocabulary, empty of rows. Safe to repeat, and from several processes at once.

    Args:
      files: of the store.
      dims: its sizes.
      tokens: the vocabulary.
      special: the special tokens, for stores that have the texts' own.
    """
    for path, attributes in schema.groups(dims).items():
        arrays.write_group(files, path, attributes)
    for spec in (schema.row_arrays(dims) | schema.partial_moment_arrays(dims)).values():
        arrays.create(files, spec)
    strings.create_column(files, schema.DOC_ID, num_rows=dims.num_rows, chunk_rows=dims.shard_rows)
    strings.write_column(files, schema.TOKEN, tokens)
    if dims.has_text_tokens:
        assert special is not None
        token_column.create(files, dims, special)
    if not dims.num_rows:
        arrays.create(files, schema.row_arrays(dims)[schema.INDPTR]).write(np.zeros(1, np.int64)).result()


class StoreWriter:
    """Writes units' results into the arrays of a skeleton. Opens each array once."""

    def __init__(self, files: store_files.StoreFiles, dims: schema.Dimensions):
        self.files, self.dims = files, dims
        self._specs = schema.row_arrays(dims) | schema.partial_moment_arrays(dims)
        self._open: dict[str, ts.TensorStore] = {}

    def _array(self, path: str) -> ts.TensorStore:
        if path not in self._open:
            self._open[path] = arrays.create(self.files, self._specs[path])
        return self._open[path]

    def write_shard(self, rows: ShardRows) -> None:
        """Writes one whole shard of every row array and returns when all of it is on disk."""
        dims, n = self.dims, len(rows.doc_ids)
        row0, row1 = rows.row0, rows.row0 + n
        assert row0 % dims.shard_rows == 0 and (n == dims.shard_rows or row1 == dims.num_rows), (row0, row1)
        last = row1 == dims.num_rows  # whose shard also holds the final end of the row pointers
        postings = slice(row0 * dims.k, row1 * dims.k)
        pending = [
            self._array(schema.INDICES)[postings].write(rows.indices.reshape(-1)),
            self._array(schema.DATA)[postings].write(rows.values.reshape(-1)),
            self._array(schema.INDPTR)[row0 : row1 + last].write(np.arange(row0, row1 + last, dtype=np.int64) * dims.k),
        ]
        pending += [self._array(f"obs/{name}")[row0:row1].write(column) for name, column in rows.obs.items()]
        for path, embeddings in (
            (schema.EMBEDDINGS, rows.embeddings),
            (schema.BACKBONE_EMBEDDINGS, rows.backbone_embeddings),
        ):
            if embeddings is not None:
                pending.append(self._array(path)[row0:row1].write(embeddings))
        index = row0 // dims.shard_rows
        strings.write_chunk(self.files, schema.DOC_ID, index, rows.doc_ids, chunk_rows=dims.shard_rows)
        if rows.text_tokens is not None:
            token_column.write_chunk(self.files, dims, index, rows.text_tokens)
        for future in pending:
            future.result()

    def write_moments(self, unit: int, pair: moments.PairMoments) -> None:
        """Writes the partial moments of one unit."""
        values: dict[str, np.ndarray] = {"count": np.array(pair.f.count, np.int64)}
        for model, part in zip(schema.MOMENTS_OF, (pair.f, pair.g), strict=True):
            if part is not None:
                values[f"{model}/mean"] = part.mean
                values[f"{model}/unit_sum"] = part.unit_sum
                values[f"{model}/scatter"] = moments.pack_symmetric(part.scatter)
        if pair.cross_scatter is not None:
            values["cross/scatter"] = pair.cross_scatter
        pending = [self._array(f"run/moments/{name}")[unit].write(value) for name, value in values.items()]
        for future in pending:
            future.result()

    def write_duplicates(self, duplicate: np.ndarray) -> None:
        """Writes the whole column obs/duplicate_id, bool [N]."""
        self._array("obs/duplicate_id").write(duplicate).result()

    def write_final_moments(self, pair: moments.PairMoments) -> None:
        """Writes the merged moments that users read: count, sum, sum of unit vectors, second moment, covariance."""
        for model, part in zip(schema.MOMENTS_OF, (pair.f, pair.g), strict=True):
            if part is None:
                continue
            for name, value in {
                "count": np.array(part.count, np.int64),
                "sum": part.sum,
                "unit_sum": part.unit_sum,
                "second_moment": part.second_moment,
                "covariance": part.covariance,
            }.items():
                arrays.write_whole(self.files, f"moments/{model}/{name}", value)
        if pair.g is not None:
            cross = pair.cross_covariance
            arrays.write_whole(self.files, "moments/cross/covariance", cross)
            arrays.write_whole(self.files, "moments/cross/second_moment", cross + np.outer(pair.f.mean, pair.g.mean))
