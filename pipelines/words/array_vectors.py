"""Word vectors as an array with a word list beside it: .npy, safetensors, or anything that TensorStore opens.

n words, D dimension. Row r belongs to line r of the list.
"""

import os
import pathlib
from typing import Any

import numpy as np
import safetensors
import tensorstore as ts

from keytokens.pipelines.words.vectors import Loaded
from keytokens.pipelines.words.word_list import read_lines


def read_array(path: str, words_path: str, *, tensor: str | None = None) -> Loaded:
    """The vectors of an array [n, D] and the words of a file of n lines; of a word that stands twice, the first.

    Args:
      path: a file ending in .npy or .safetensors, or else a directory or kvstore URL that TensorStore opens.
      words_path: UTF-8, a word a line.
      tensor: its name in a safetensors file that holds several.

    Raises:
      ValueError: no such array, not float [n, D], or not as many words as rows.
    """
    if path.endswith(".npy"):
        matrix = _npy(path)
    elif path.endswith(".safetensors"):
        matrix = _safetensors(path, tensor)
    else:
        matrix = _tensorstore(path)
    if matrix.dtype.name == "bfloat16":  # which numpy does not count among its floats
        matrix = matrix.astype(np.float32)
    if matrix.ndim != 2 or not np.issubdtype(matrix.dtype, np.floating):
        raise ValueError(
            f"{path} is {matrix.dtype} {matrix.shape}, but word vectors are floating-point [words, dimensions]. Name "
            "another array, or convert it."
        )
    words = read_lines(words_path)
    if len(words) != len(matrix):
        raise ValueError(
            f"{path} has {len(matrix):,} rows and {words_path} {len(words):,} words, so vectors would get wrong words. "
            "Line r must be the word of row r, from the first line on."
        )
    first = {word: row for row, word in reversed(list(enumerate(words)))}
    rows = np.sort(np.fromiter(first.values(), np.int64, len(first)))
    repeated = len(words) - len(rows)
    return Loaded(
        [words[row] for row in rows],
        np.asarray(matrix[rows], np.float32),
        {"repeated word": repeated} if repeated else {},
    )


def _npy(path: str) -> np.ndarray:
    try:
        # Mapped: vectors of repeated words are never read. Pickles are never loaded, since they run code.
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as e:
        raise ValueError(f"{path} cannot be read as .npy ({e}). Save it with numpy.save, floats only.") from e


def _safetensors(path: str, tensor: str | None) -> np.ndarray:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            if tensor is None and len(names) != 1:
                raise ValueError(
                    f"{path} holds {len(names)} tensors ({', '.join(sorted(names)[:8])}): name one, {path}#NAME@WORDS."
                )
            name = tensor or names[0]
            if name not in names:
                raise ValueError(f"{path} has no tensor {name!r}; it has {', '.join(sorted(names)[:8])}.")
            return np.asarray(file.get_tensor(name))
    except (safetensors.SafetensorError, TypeError, OSError) as e:
        raise ValueError(f"{path} cannot be read as safetensors ({e}). Vectors are float32 or float16 there.") from e


def _tensorstore(path: str) -> np.ndarray:
    url = path if "://" in path else pathlib.Path(os.path.abspath(path)).as_uri()  # noqa: PTH100
    spec: Any = url if "|" in url else url.rstrip("/") + "/"
    try:
        array = ts.open(spec, read=True).result()
        return np.asarray(array.read().result())
    except ValueError as e:
        raise ValueError(
            f"{path} is no array that TensorStore opens ({str(e).splitlines()[0][:300]}). Give the array's own "
            "directory or URL, not that of a group around it."
        ) from e
