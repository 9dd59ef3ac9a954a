"""Reads the posting lists of an index, from memory or from the store.

N rows, F columns, P postings read.
"""

import dataclasses

import numpy as np
import scipy
import tensorstore as ts

from keytokens.pipelines.retrieval import index_run
from keytokens.pipelines.store import arrays
from keytokens.pipelines.store import files as store_files

MEMORIES = ("load", "stored")
_CACHE_BYTES = 1 << 29


@dataclasses.dataclass(frozen=True)
class Gathered:
    """The postings of some columns, one list after another.

    Attributes:
      rows: int32 [P].
      impacts: float32 [P], as weights: uint8 impacts times their scale.
      bounds: int [lists + 1]; list i is rows[bounds[i]:bounds[i + 1]].
    """

    rows: np.ndarray
    impacts: np.ndarray
    bounds: np.ndarray

    @property
    def list_of(self) -> np.ndarray:
        """int64 [P], which of the columns asked for a posting belongs to."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))


class Postings:
    """The columns of X_T.

    Args:
      files: of the store.
      memory: "load" reads the index whole (8 bytes a posting, 5 with uint8 impacts); "stored" reads the lists that a
        query touches and keeps the last 0.5 GiB of decompressed pieces.
    """

    def __init__(self, files: store_files.StoreFiles, *, memory: str = "load"):
        if memory not in MEMORIES:
            raise ValueError(f"memory={memory!r} is not one of {', '.join(MEMORIES)}.")
        attributes = index_run.read_index_attributes(files)
        if attributes is None:
            raise ValueError(f"{files.url} holds no index. Run build_index with --store={files.url} first.")
        if attributes["described"]["version"] != index_run.VERSION:
            raise ValueError(
                f"{files.url} has an index of version {attributes['described']['version']}; this program reads "
                f"{index_run.VERSION}. Build it again with --replace."
            )
        self.attributes = attributes
        self.indptr = arrays.read(files, index_run.INDPTR)
        self._scales = tuple(attributes["scales"])
        options = attributes["described"]["options"]
        self._split = (len(self.indptr) - 1) // 2 if options["literal"] == "separate" else len(self.indptr) - 1
        self._matrix = None
        if memory == "load":
            data, indices = (arrays.read(files, path) for path in (index_run.DATA, index_run.INDICES))
            num_rows = arrays.open_array(files, "obs/dead_letter").shape[0]
            self._matrix = scipy.sparse.csc_matrix((data, indices, self.indptr), shape=(num_rows, self.num_columns))
        else:
            self._indices, self._data = (_open_cached(files, path) for path in (index_run.INDICES, index_run.DATA))

    @property
    def num_columns(self) -> int:
        """F."""
        return len(self.indptr) - 1

    def field_bytes(self, mode: str) -> int:
        """Bytes of rows and impacts, uncompressed, of the field that a "sparse" or "bm25" search reads, or of both."""
        width = 8 if self.attributes["described"]["options"]["impacts"] == "float32" else 5
        key = int(self.indptr[self._split])
        return width * {"sparse": key, "bm25": int(self.indptr[-1]) - key}.get(mode, int(self.indptr[-1]))

    def frequencies(self, columns: np.ndarray) -> np.ndarray:
        """int64, how many documents each column's list has."""
        return self.indptr[columns + 1] - self.indptr[columns]

    def gather(self, columns: np.ndarray) -> Gathered:
        """The lists of the columns."""
        if self._matrix is not None:
            found = self._matrix[:, columns]
            rows, data, bounds = found.indices, found.data, found.indptr
        else:
            starts, ends = self.indptr[columns], self.indptr[columns + 1]
            rows, data = (_slices(array, starts, ends) for array in (self._indices, self._data))
            bounds = np.concatenate([[0], np.cumsum(ends - starts)])
        if data.dtype == np.uint8:
            scale = np.where(columns >= self._split, self._scales[1], self._scales[0]).astype(np.float32)
            data = data * np.repeat(scale, np.diff(bounds))
        return Gathered(rows, data, bounds)


def _open_cached(files: store_files.StoreFiles, path: str) -> ts.TensorStore:
    context = ts.Context({"cache_pool": {"total_bytes_limit": _CACHE_BYTES}})
    return ts.open({"driver": "zarr3", "kvstore": files.spec(path)}, read=True, context=context).result()


def _slices(array: ts.TensorStore, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The parts [start, end) one after another, all asked for before the first is waited for."""
    bounds = [(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True) if end > start]
    pending = [array[start:end].read() for start, end in bounds]
    return np.concatenate([np.zeros(0, array.dtype.numpy_dtype), *(future.result() for future in pending)])
