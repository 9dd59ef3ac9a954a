"""What lies at --output, and may a run have it? Asked before the corpus is read and before the first write."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorstore as ts

from keytokens.pipelines.store import files as store_files
from keytokens.pipelines.store import identity, run_state

REPORT = "run/report.html"  # the last thing that align_corpus writes


@dataclasses.dataclass(frozen=True)
class Wish:
    """What is to become of a store that is there.

    Attributes:
      resume: go on with one of the same run; without it, one that exists is refused.
      overwrite: replace one of another run, or a finished one; without `resume`, any.
    """

    resume: bool = True
    overwrite: bool = False


def open_files(url: str) -> store_files.StoreFiles:
    """The files of a store that may begin at `url`.

    Raises:
      ValueError: no kvstore has this URL, or a local path that no directory can have or that cannot be written.
    """
    with _naming(url, "opened", "Give a local path or a kvstore URL such as gs://bucket/out.zarr"):
        if not url:
            raise ValueError("it is empty")
        files = store_files.StoreFiles(url)
        spec = files.kvstore.spec().to_json()
        if spec["driver"] == "http":
            raise ValueError("http is for reading only")
    if spec["driver"] == "file":
        with _naming(url, "written", "Check the path and its permissions"):
            _check_directory(pathlib.Path(spec["path"]))
    return files


def _check_directory(path: pathlib.Path) -> None:
    while not path.exists():
        path = path.parent
    if not path.is_dir():
        raise ValueError(f"{path} is a file, and a store is a directory")
    if not os.access(path, os.W_OK | os.X_OK):
        raise ValueError(f"nothing can be written into {path}")


def check(files: store_files.StoreFiles, asked: Mapping[str, Any], wish: Wish) -> None:
    """Refuses what can be refused before the corpus is known.

    Args:
      files: from `open_files`.
      asked: the run's identity; what it says of the corpus is not looked at.
      wish: what is to become of a store that is there.

    Raises:
      ForeignStoreError: something else lies there, or a store of another model or of other options.
      ValueError: it cannot be read, or holds a store that is not to be resumed.
    """
    existing = _existing(files, wish)
    if existing is not None and not wish.overwrite:
        identity.check_same_run(files.url, existing["identity"], _with_corpus_of(existing["identity"], asked))


def _with_corpus_of(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    dimensions = {**asked["dimensions"], "num_rows": stored["dimensions"].get("num_rows")}
    return {**asked, "dimensions": dimensions, "corpus_sha256": stored.get("corpus_sha256")}


def take(files: store_files.StoreFiles, asked: Mapping[str, Any], wish: Wish) -> bool:
    """Whether the store that is there is gone on with; else nothing is there any more, and a new one may begin.

    Raises:
      ForeignStoreError: something else lies there, or a store of another run that is not to be overwritten.
      ValueError: it cannot be read or emptied, or holds a store that is not to be resumed.
    """
    existing = _existing(files, wish)
    if existing is None:
        return False
    if not wish.overwrite:
        identity.check_same_run(files.url, existing["identity"], asked)
        return True
    same = identity.identity_sha256(existing["identity"]) == identity.identity_sha256(asked)
    if wish.resume and same and not _finished(files):
        return True
    _delete(files)
    return False


def _existing(files: store_files.StoreFiles, wish: Wish) -> dict[str, Any] | None:
    with _naming(files.url, "read", "Check the path or URL and its permissions"):
        existing = identity.read_manifest(files)
    if existing is not None and not wish.resume and not wish.overwrite:
        how_far = "a finished one" if existing.get("complete") else "one that is not finished"
        raise ValueError(
            f"--noresume: --output={files.url} holds a store already, {how_far}; nothing was written. Give another "
            "--output, --resume to go on with it, or add --overwrite to delete it."
        )
    return existing


def _finished(files: store_files.StoreFiles) -> bool:
    """A run that died between its last unit and its report has its report to write: deleting that would cost it all."""
    return files.read(run_state.COMPLETED) is not None and files.read(REPORT) is not None


def _delete(files: store_files.StoreFiles) -> None:
    """Deletes the store so that a death in between leaves one that the next launch can replace or resume."""
    with _naming(files.url, "emptied", "Check its permissions, or delete it yourself"):
        for delete in _deletions(files):
            delete()


def _deletions(files: store_files.StoreFiles) -> list[Callable[[], Any]]:
    """In this order: what claims that something is done is first, the manifest, without which all is nobody's, last."""
    manifest = identity.MANIFEST_FILE
    before, behind = ts.KvStore.KeyRange("", manifest), ts.KvStore.KeyRange(manifest + "\0", "")
    return [
        lambda: files.delete(run_state.COMPLETED),
        lambda: files.delete_prefix(run_state.UNITS),
        lambda: files.kvstore.delete_range(before).result(),
        lambda: files.kvstore.delete_range(behind).result(),
        lambda: files.delete(manifest),
    ]


@contextlib.contextmanager
def _naming(url: str, done: str, cure: str) -> Iterator[None]:
    """Puts the flag, the consequence and a cure around what a kvstore says."""
    try:
        yield
    except identity.ForeignStoreError:
        raise
    except (OSError, ValueError) as error:
        raise ValueError(f"--output={url} cannot be {done} ({error}); no text was embedded. {cure}.") from error
