"""Moves the leading components of a store's backbone embeddings, and decodes them again: curves, and a store.

One pass over the stored embeddings, the LM head applied once a text whatever the number of shifts. n texts, D hidden
size, V vocabulary size, L points of the sweep, J components that are moved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from keytokens import kernels
from keytokens.pipelines import align_run, encoder, finalize, unit_work
from keytokens.pipelines.analysis import adjustment, moments, spectrum, token_classes
from keytokens.pipelines.report import saved_texts
from keytokens.pipelines.store import files as store_files
from keytokens.pipelines.store import identity, reader, run_state, schema, token_column, writer


@dataclasses.dataclass(frozen=True)
class Directions:
    """What a store's moments say of its backbone.

    Attributes:
      components: float64 [D, D], row j is V_j.
      variation: float64 [D], v_j.
    """

    components: np.ndarray
    variation: np.ndarray


def directions_of(store: reader.StoreReader) -> Directions:
    """The backbone's components and how far the embedder moved along each.

    Raises:
      ValueError: a store without a backbone, or without texts.
    """
    pair = store.merged_moments()
    if pair.g is None:
        raise ValueError(
            f"{store.files.url} has no backbone to adjust. Run align_corpus with --backbone=NAME --save_embeddings, "
            "into a new --output."
        )
    of_g = spectrum.spectrum_of(pair.g)
    return Directions(of_g.components, of_g.components @ (pair.f.mean - pair.g.mean))


def decode(
    loaded: encoder.Encoder, hidden: np.ndarray, directions: np.ndarray, coefficients: np.ndarray, k: int
) -> encoder.Aligned:
    """The aligned tokens of every embedding at every shift: indices and values [n, L, k], logsumexp [n, L].

    A masked language model's transform of h is not linear: its head is then applied once a shift.

    Args:
      loaded: of the backbone.
      hidden: float32 [n, D].
      directions: [J, D].
      coefficients: [L, J].
      k: aligned tokens to keep.
    """
    import jax.numpy as jnp  # here: --help needs no JAX

    if "transform" in loaded.embedder.params:
        shifts = (coefficients @ directions).astype(np.float32)
        parts = [loaded.align(hidden + shift, k) for shift in shifts]
        names = [field.name for field in dataclasses.fields(encoder.Aligned)]
        return encoder.Aligned(*(np.stack([getattr(part, name) for part in parts], axis=1) for name in names))
    head = loaded.embedder.head
    found = kernels.topk_sweep(
        jnp.asarray(hidden),
        head.weight,
        k,
        directions=jnp.asarray(directions, jnp.float32),
        coefficients=jnp.asarray(coefficients, jnp.float32),
        bias=head.bias,
        scale=head.scale,
        softcap=head.softcap,
    )
    assert found.logsumexp is not None
    return encoder.Aligned(np.asarray(found.indices), np.asarray(found.values), np.asarray(found.logsumexp))


def adjust_store(
    store: reader.StoreReader,
    loaded: encoder.Encoder,
    points: Sequence[adjustment.Point],
    *,
    hit_at: int = 10,
    chosen: adjustment.Point | None = None,
    output: str | None = None,
) -> list[adjustment.CurvePoint]:
    """The curves of the store's backbone over all texts; with `output`, also the store of one shift.

    Args:
      store: with backbone embeddings and the texts' own tokens.
      loaded: the backbone.
      points: of the sweep.
      hit_at: K of the metrics.
      chosen: the shift that is written.
      output: of the new store; what stands there is resumed if it is this adjustment, else refused.

    Raises:
      ValueError: the store lacks embeddings or tokens, the output belongs to something else, or a shift is too large.
    """
    directions = directions_of(store)
    used = directions.components[: max(len(point.coefficients) for point in [*points, *([chosen] if chosen else [])])]
    swept = [*points, *([chosen] if chosen else [])]
    coefficients = np.zeros((len(swept), len(used)))
    for row, point in enumerate(swept):
        coefficients[row, : len(point.coefficients)] = point.coefficients
    _check_shifts(coefficients)
    classes = token_classes.classify(store.tokens(), special=store.special_tokens().special)
    counter = adjustment.CurveCounter(points, classes, hit_at=hit_at)
    out = None
    if output is not None:
        assert chosen is not None
        out = _AdjustedStore(store, output, loaded, chosen, coefficients[-1] @ used)
    dead = store.column("dead_letter")
    for row0, row1 in store.shards():
        alive = np.flatnonzero(~dead[row0:row1])
        hidden = store.embeddings(row0, row1, backbone=True)[alive]
        aligned = decode(loaded, hidden, used, coefficients, store.dims.k)
        own = store.text_tokens(row0, row1)
        embedder, _ = store.ranked_postings(row0, row1)
        counter.add(aligned.indices[:, : len(points)], own.take(alive), embedder=embedder[alive])
        if out is not None:
            out.write(
                row0, row1, alive, hidden, own, encoder.Aligned(*(part[:, -1] for part in vars(aligned).values()))
            )
    if out is not None:
        out.finish()
    return counter.result()


def _check_shifts(coefficients: np.ndarray) -> None:
    # Norms square the embeddings, which are float32.
    if not (np.abs(coefficients) < np.sqrt(np.finfo(np.float32).max) / 2).all():
        raise ValueError(
            f"shifts of up to {np.abs(coefficients).max():g} must be finite and their squares fit float32, or no norm "
            "and no logit of the moved embeddings would be a number. Give smaller ones."
        )


class _AdjustedStore:
    """A store of the adjusted backbone, laid out as the one it comes from."""

    def __init__(
        self,
        source: reader.StoreReader,
        output: str,
        loaded: encoder.Encoder,
        chosen: adjustment.Point,
        shift: np.ndarray,
    ):
        self._source, self._shift = source, shift
        before = source.manifest["identity"]
        dims = dataclasses.replace(
            source.dims, has_backbone=False, save_backbone_embeddings=False, save_embeddings=True
        )
        described = {
            **before,
            "model": before["backbone"],
            "backbone": None,
            "dimensions": dataclasses.asdict(dims),
            "adjustment": {
                "leading": chosen.leading,
                "coefficients": [float(value) for value in chosen.coefficients[: chosen.leading]],
                "embedder": before["model"],
            },
        }
        files = store_files.StoreFiles(output)
        existing = identity.read_manifest(files)
        if existing is not None:
            identity.check_same_run(files.url, existing["identity"], described)
        else:
            align_run.write_manifest(files, described, source.manifest["corpus_files"], counts=None)
        special = token_column.SpecialTokens(**dataclasses.asdict(source.special_tokens()))
        writer.create_skeleton(files, dims, source.tokens(), special=special)
        self._run = align_run.AlignRun(
            files.url, loaded.embedder.config, None, dims, 0, identity.identity_sha256(described)
        )
        self._out = writer.StoreWriter(files, dims)
        self._obs = {name: source.column(name) for name in schema.OBS_COLUMNS}
        self._doc_ids = source.doc_ids()
        self._unit_sums = np.zeros((dims.num_units, dims.hidden_size))

    def write(
        self,
        row0: int,
        row1: int,
        alive: np.ndarray,
        hidden: np.ndarray,
        own: adjustment.Ragged,
        aligned: encoder.Aligned,
    ) -> None:
        """Writes the rows of one shard; shards come in order."""
        n, dims = row1 - row0, self._run.dims
        moved = (hidden + self._shift).astype(np.float32)
        norms = np.linalg.norm(moved, axis=1)
        self._unit_sums[row0 // dims.unit_rows] += (moved / np.maximum(norms, 1e-30)[:, None]).sum(0, dtype=np.float64)
        order = np.argsort(aligned.indices, axis=1)
        indices = np.tile(np.arange(dims.k, dtype=np.int32), (n, 1))
        values = np.zeros((n, dims.k), np.float32)
        embeddings = np.zeros((n, dims.hidden_size), np.float32)
        indices[alive] = np.take_along_axis(aligned.indices, order, 1)
        values[alive] = np.take_along_axis(aligned.values, order, 1)
        embeddings[alive] = moved
        obs = {name: column[row0:row1].copy() for name, column in self._obs.items() if name != "duplicate_id"}
        obs["norm"][alive] = norms
        obs["logsumexp"][alive] = aligned.logsumexp
        best = aligned.indices[:, : unit_work.HITS_AT]
        hits = [np.isin(best[i], own[row]).sum(dtype=np.int32) for i, row in enumerate(alive.tolist())]
        obs["hits_at_10"][alive] = hits
        doc_ids = [next(self._doc_ids) for _ in range(n)]
        text_tokens = [own[row] for row in range(n)]
        self._out.write_shard(
            writer.ShardRows(row0, doc_ids, indices, values, obs, embeddings, text_tokens=text_tokens)
        )

    def finish(self) -> None:
        """Writes moments, dead letters and markers as the units had them, and completes the store."""
        before = identity.identity_sha256(self._source.manifest["identity"])
        for unit, pair in enumerate(self._source.partial_moments()):
            assert pair.g is not None
            moved = adjustment.adjusted_moments(pair.g, self._shift, self._unit_sums[unit])
            self._out.write_moments(unit, moments.PairMoments(moved))
            name = run_state.unit_name(unit)
            lines = run_state.read_dead_letter_lines(self._source.files, name)
            run_state.write_dead_letters(self._out.files, name, lines)
            marker = run_state.read_marker(self._source.files, unit, before)
            assert marker is not None, "a complete store has a marker of every unit"
            run_state.write_marker(
                self._out.files, dataclasses.replace(marker, identity_sha256=self._run.identity_sha256)
            )
        finalize.finalize(self._run)
        saved_texts.copy(self._source.files, self._out.files)
