"""Reads a store back, for our own analyses and reports."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from keytokens.pipelines.analysis import moments, ragged
from keytokens.pipelines.store import arrays, identity, run_state, schema, strings, token_column
from keytokens.pipelines.store import files as store_files


class StoreReader:
    """A store that a run has written.

    Args:
      url: local path or kvstore URL.
      complete: refuse a store whose run has not finished.

    Raises:
      ValueError: no store there, or an unfinished one.
    """

    def __init__(self, url: str, *, complete: bool = True):
        self.files = store_files.StoreFiles(url)
        manifest = identity.read_manifest(self.files, to_write=False)
        if manifest is None:
            raise ValueError(f"{self.files.url} holds no store. Run align_corpus with --output={url} first.")
        self.manifest: dict[str, Any] = manifest
        try:
            self.dims = schema.Dimensions(**manifest["dimensions"])
        except TypeError as error:
            raise identity.damaged_manifest(self.files, str(error), to_write=False) from error
        if complete and self.files.read(run_state.COMPLETED) is None:
            done = len(run_state.finished_units(self.files))
            raise ValueError(
                f"{self.files.url} is not complete: {done} of {self.dims.num_units} units are done. "
                "Run align_corpus again with the same flags; it resumes."
            )

    def postings(self, row0: int, row1: int) -> tuple[np.ndarray, np.ndarray]:
        """Token ids int32 and logits float32 of rows [row0, row1), each [row1 - row0, k], ids ascending."""
        part = slice(row0 * self.dims.k, row1 * self.dims.k)
        return tuple(  # type: ignore[return-value]
            np.asarray(arrays.open_array(self.files, path)[part].read().result()).reshape(-1, self.dims.k)
            for path in (schema.INDICES, schema.DATA)
        )

    def ranked_postings(self, row0: int, row1: int) -> tuple[np.ndarray, np.ndarray]:
        """The same, largest logit first, ties to the lower token id."""
        indices, values = self.postings(row0, row1)
        order = np.argsort(-values, axis=1, kind="stable")  # stable over ascending ids is the tie rule
        return np.take_along_axis(indices, order, 1), np.take_along_axis(values, order, 1)

    def column(self, name: str) -> np.ndarray:
        """A column of obs, [N]."""
        return arrays.read(self.files, f"obs/{name}")

    def doc_ids(self) -> Iterator[str]:
        """The document ids in row order."""
        return strings.read_column(self.files, schema.DOC_ID)

    def tokens(self) -> list[str]:
        """The vocabulary, as the tokenizer spells it, [V]."""
        return list(strings.read_column(self.files, schema.TOKEN))

    def text_tokens(self, row0: int, row1: int) -> ragged.Ragged:
        """The texts' own tokens of rows [row0, row1), repeats included; none for dead letters.

        Raises:
          ValueError: the store was written without them.
        """
        self._need_text_tokens()
        return token_column.read(self.files, self.dims, row0, row1)

    def special_tokens(self) -> token_column.SpecialTokens:
        """Ids that are no text.

        Raises:
          ValueError: the store was written without them.
        """
        self._need_text_tokens()
        return token_column.read_special(self.files)

    def _need_text_tokens(self) -> None:
        if not self.dims.has_text_tokens:
            raise ValueError(
                f"{self.files.url} does not hold the texts' own tokens, so key tokens cannot be compared with them. "
                "It was written by an older version: run align_corpus again, into a new --output."
            )

    def embeddings(self, row0: int, row1: int, *, backbone: bool = False) -> np.ndarray:
        """The un-normalised embeddings of rows [row0, row1), float32 [row1 - row0, D]; zeros for dead letters.

        Args:
          row0: first row.
          row1: behind the last.
          backbone: the backbone's instead of the embedder's.

        Raises:
          ValueError: the store was written without them.
        """
        if not (self.dims.save_backbone_embeddings if backbone else self.dims.save_embeddings):
            asked = "--backbone=NAME --save_embeddings" if backbone else "--save_embeddings"
            raise ValueError(
                f"{self.files.url} holds no embeddings of the {'backbone' if backbone else 'embedder'}, only moments "
                f"and postings. Run align_corpus with {asked}, into a new --output."
            )
        path = schema.BACKBONE_EMBEDDINGS if backbone else schema.EMBEDDINGS
        return np.asarray(arrays.open_array(self.files, path)[row0:row1].read().result())

    def shards(self) -> Iterator[tuple[int, int]]:
        """(row0, row1) of every shard, in order: what one read should cover."""
        for row0 in range(0, self.dims.num_rows, self.dims.shard_rows):
            yield row0, min(row0 + self.dims.shard_rows, self.dims.num_rows)

    def merged_moments(self) -> moments.PairMoments:
        """The merged moments of embedder and backbone."""
        f = self._moments_of("embedder")
        if not self.dims.has_backbone:
            return moments.PairMoments(f)
        cross = arrays.read(self.files, "moments/cross/covariance") * max(1, f.count)
        return moments.PairMoments(f, self._moments_of("backbone"), cross)

    def _moments_of(self, model: str) -> moments.Moments:
        read = {
            name: arrays.read(self.files, f"moments/{model}/{name}")
            for name in ("count", "sum", "unit_sum", "covariance")
        }
        count = int(read["count"])
        divisor = max(1, count)
        return moments.Moments(count, read["sum"] / divisor, read["covariance"] * divisor, read["unit_sum"])

    def partial_moments(self) -> Iterator[moments.PairMoments]:
        """The moments of every unit, in unit order."""
        dims = self.dims
        opened = {
            path.removeprefix("run/moments/"): arrays.open_array(self.files, path)
            for path in schema.partial_moment_arrays(dims)
        }
        for unit in range(dims.num_units):
            part = {name: np.asarray(array[unit].read().result()) for name, array in opened.items()}
            count = int(part["count"])
            f, *rest = (
                moments.Moments(
                    count,
                    part[f"{model}/mean"],
                    moments.unpack_symmetric(part[f"{model}/scatter"], dims.hidden_size),
                    part[f"{model}/unit_sum"],
                )
                for model in schema.MOMENTS_OF[: 1 + dims.has_backbone]
            )
            yield moments.PairMoments(f, rest[0] if rest else None, part.get("cross/scatter"))

    def dead_letters(self) -> list[dict[str, Any]]:
        """Every dead letter and flagged duplicate."""
        return run_state.read_dead_letters(self.files)
