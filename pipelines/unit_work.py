"""The work of one unit: read its rows, embed them, select their tokens, write shards, moments, dead letters, marker.

It may run any number of times, on several machines at once, after any death: it writes the same bytes to the same
places, and the marker last. Rows are worked through a shard at a time, so memory does not grow with the unit.
"""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any

import numpy as np

from keytokens.pipelines import align_run, corpus, encoder, plan, reading, run_errors
from keytokens.pipelines.analysis import moments
from keytokens.pipelines.store import files as store_files
from keytokens.pipelines.store import run_state, writer

HITS_AT = 10  # of the column obs/hits_at_10


class StoreWriteError(run_errors.RunError):
    """The store cannot be written: a full disk, permissions, a bucket that is gone."""


@dataclasses.dataclass
class _Shard:
    """The rows of one shard as they are worked out. Rows that stay untouched are dead letters: zeros."""

    rows: writer.ShardRows
    dead_letters: list[corpus.DeadLetter]
    pair: moments.PairMoments
    tokens: int = 0
    batch_tokens: int = 0
    real_tokens: int = 0


def finished(run: align_run.AlignRun, unit: plan.Unit) -> run_state.UnitMarker | None:
    """The unit's marker if this run, or an earlier start of it, has finished the unit."""
    return run_state.read_marker(_writer(run).files, unit.index, run.identity_sha256)


def process(run: align_run.AlignRun, unit: plan.Unit) -> run_state.UnitMarker:
    """Does the unit's work, whether or not it has been done before, and returns its marker."""
    out = _writer(run)
    hidden_size = run.dims.hidden_size
    pair = moments.PairMoments.zero(hidden_size, has_backbone=run.backbone is not None)
    dead_letters: list[corpus.DeadLetter] = []
    counts = dict.fromkeys(("tokens", "batch_tokens", "real_tokens", "truncated"), 0)
    rows = unit.row0
    with _Behind() as behind:
        for members in _in_shards(reading.read_unit(unit), run.dims.shard_rows):
            shard = _work(run, rows, members)
            with _writing(run, unit):
                behind.submit(out.write_shard, shard.rows)
            rows += len(members)
            pair = moments.merge(pair, shard.pair)
            dead_letters += shard.dead_letters
            counts["truncated"] += int(shard.rows.obs["truncated"].sum())
            for name in ("tokens", "batch_tokens", "real_tokens"):
                counts[name] += getattr(shard, name)
        assert rows == unit.row1, (rows, unit.row1)
        with _writing(run, unit):
            behind.wait()
    marker = run_state.UnitMarker(
        unit=unit.index,
        identity_sha256=run.identity_sha256,
        rows=unit.row1 - unit.row0,
        dead_letters=len(dead_letters),
        **counts,
    )
    with _writing(run, unit):
        out.write_moments(unit.index, pair)
        lines = [letter.to_json() for letter in dead_letters]
        run_state.write_dead_letters(out.files, run_state.unit_name(unit.index), lines)
        run_state.write_marker(out.files, marker)
    return marker


class _Behind:
    """Runs calls on a thread, one at a time: a shard is written while the next one is embedded. None outlives it."""

    def __init__(self) -> None:
        self._thread = futures.ThreadPoolExecutor(1)
        self._running: futures.Future[None] | None = None

    def __enter__(self) -> "_Behind":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def submit(self, function: Callable[..., None], *args: Any) -> None:
        """Starts the call when the one before has ended; raises what that one raised."""
        self.wait()
        self._running = self._thread.submit(function, *args)

    def wait(self) -> None:
        """Waits for the last call; raises what it raised."""
        if self._running is not None:
            self._running.result()


@contextlib.contextmanager
def _writing(run: align_run.AlignRun, unit: plan.Unit) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise StoreWriteError(
            f"--output={run.output} cannot be written ({error}); unit {unit.index} is not done, finished units are "
            "safe. Free some space or mend the permissions, then launch again with the same flags; it resumes."
        ) from error


@functools.lru_cache(maxsize=8)
def _writer(run: align_run.AlignRun) -> writer.StoreWriter:
    return writer.StoreWriter(store_files.StoreFiles(run.output), run.dims)


def _in_shards(
    rows: Iterable[corpus.Document | corpus.DeadLetter], size: int
) -> Iterator[list[corpus.Document | corpus.DeadLetter]]:
    iterator = iter(rows)
    while members := list(itertools.islice(iterator, size)):
        yield members


def _work(run: align_run.AlignRun, row0: int, members: list[corpus.Document | corpus.DeadLetter]) -> _Shard:
    documents = [member for member in members if isinstance(member, corpus.Document)]
    dead = [member for member in members if isinstance(member, corpus.DeadLetter)]
    texts = [document.text for document in documents]
    main = encoder.shared_encoder(run.model, batch_tokens=run.batch_tokens)
    f = main.embed(texts)
    g = None
    if run.backbone is not None:
        g = encoder.shared_encoder(run.backbone, batch_tokens=run.batch_tokens).embed(texts)
    aligned = main.align(f.hidden, run.dims.k)
    good = np.isfinite(f.hidden).all(1) & np.isfinite(aligned.values).all(1)
    if g is not None:
        good &= np.isfinite(g.hidden).all(1)
    dead += [_not_finite(document) for document, ok in zip(documents, good, strict=True) if not ok]
    shard = _Shard(
        rows=_to_rows(run, row0, members, documents, good, f, g, aligned),
        dead_letters=sorted(dead, key=lambda letter: letter.row),
        pair=encoder.pair_moments(f.hidden, None if g is None else g.hidden, good),
    )
    shard.tokens = int(shard.rows.obs["n_tokens"].sum())
    for embedded in (f, g):
        if embedded is not None:
            shard.batch_tokens += embedded.batch_tokens
            shard.real_tokens += sum(len(tokens.ids) for tokens in embedded.tokens)
    return shard


def _to_rows(
    run: align_run.AlignRun,
    row0: int,
    members: list[corpus.Document | corpus.DeadLetter],
    documents: list[corpus.Document],
    good: np.ndarray,
    f: encoder.Embedded,
    g: encoder.Embedded | None,
    aligned: encoder.Aligned,
) -> writer.ShardRows:
    n, dims = len(members), run.dims
    at = np.array([document.row - row0 for document in documents], np.int64)[good]
    order = np.argsort(aligned.indices[good], axis=1)
    # A dead letter's row is k explicit zeros at the first k ids: still a canonical CSR row of fixed width.
    indices = np.tile(np.arange(dims.k, dtype=np.int32), (n, 1))
    values = np.zeros((n, dims.k), np.float32)
    indices[at] = np.take_along_axis(aligned.indices[good], order, 1)
    values[at] = np.take_along_axis(aligned.values[good], order, 1)
    obs = {
        "n_tokens": np.zeros(n, np.int32),
        "truncated": np.zeros(n, bool),
        "norm": np.zeros(n, np.float32),
        "logsumexp": np.zeros(n, np.float32),
        "hits_at_10": np.zeros(n, np.int32),
        "dead_letter": np.ones(n, bool),
    }
    kept = [tokens for tokens, ok in zip(f.tokens, good, strict=True) if ok]
    obs["n_tokens"][at] = [tokens.text.sum() for tokens in kept]
    obs["truncated"][at] = [tokens.truncated for tokens in kept]
    obs["norm"][at] = np.linalg.norm(f.hidden[good], axis=1)
    obs["logsumexp"][at] = aligned.logsumexp[good]
    own = [tokens.ids[tokens.text] for tokens in kept]
    obs["hits_at_10"][at] = _hits(aligned.indices[good, :HITS_AT], own)
    obs["dead_letter"][at] = False
    text_tokens = [np.zeros(0, np.int32)] * n
    for row, ids in zip(at.tolist(), own, strict=True):
        text_tokens[row] = ids
    dense: dict[str, np.ndarray | None] = {"embeddings": None, "backbone_embeddings": None}
    for name, embedded, wanted in (
        ("embeddings", f, dims.save_embeddings),
        ("backbone_embeddings", g, dims.save_backbone_embeddings),
    ):
        if wanted:
            assert embedded is not None
            dense[name] = spread = np.zeros((n, dims.hidden_size), np.float32)
            spread[at] = embedded.hidden[good]
    doc_ids = [member.doc_id for member in members]
    return writer.ShardRows(row0, doc_ids, indices, values, obs, **dense, text_tokens=text_tokens)


def _hits(best: np.ndarray, own: list[np.ndarray]) -> np.ndarray:
    """How many of each row's tokens [n, 10] are among the row's own; all rows at once, since numpy's calls cost."""
    rows = np.repeat(np.arange(len(own), dtype=np.int64), [len(ids) for ids in own])
    known = rows << 32 | np.concatenate([*own, np.zeros(0, np.int32)])
    return np.isin(np.arange(len(best), dtype=np.int64)[:, None] << 32 | best, known).sum(1, dtype=np.int32)


def _not_finite(document: corpus.Document) -> corpus.DeadLetter:
    return corpus.DeadLetter(
        row=document.row,
        doc_id=document.doc_id,
        file=document.file,
        line=document.line,
        kind="embedding_not_finite",
        reason="the model returned NaN or infinity for this text; try --dtype=float32, or look at the checkpoint",
        snippet=document.text[:200],
    )
