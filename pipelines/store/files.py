"""Bytes under a store's root, wherever it lies: a local directory or any TensorStore kvstore URL."""

import json
import os
from typing import Any

import tensorstore as ts

# One context for the process: memory:// stores live in it, and all arrays share its caches and thread pools.
CONTEXT = ts.Context()


class NotJsonError(ValueError):
    """A file that must hold JSON holds something else: it was cut or damaged, or is somebody else's."""


class StoreFiles:
    """A directory of keys. Picklable: it carries the URL and opens the kvstore where it is used.

    Args:
      url: a local path, or a kvstore URL such as gs://bucket/out.zarr, s3://bucket/out.zarr, memory://out.zarr.
    """

    def __init__(self, url: str):
        self.url = url if "://" in url else os.path.abspath(url)  # noqa: PTH100 (a string is what kvstores take)
        self._kvstore: ts.KvStore | None = None

    def __reduce__(self):
        return StoreFiles, (self.url,)

    @property
    def kvstore(self) -> ts.KvStore:
        """The open kvstore, its path ending in a slash."""
        if self._kvstore is None:
            spec: Any = self.url.rstrip("/") + "/"
            if "://" not in self.url:
                spec = {"driver": "file", "path": spec}
            elif spec.startswith("s3://"):
                spec = _s3_spec(spec)
            self._kvstore = ts.KvStore.open(spec, context=CONTEXT).result()
        return self._kvstore

    def spec(self, key: str) -> dict[str, Any]:
        """The JSON kvstore spec of the directory `key` below the root, as array specs want it."""
        spec = self.kvstore.spec().to_json()
        return {**spec, "path": spec["path"] + key.strip("/") + "/"}

    def read(self, key: str) -> bytes | None:
        """The value, or None where there is no such key."""
        result = self.kvstore.read(key).result()
        return result.value if result.state == "value" else None

    def write(self, key: str, value: bytes) -> None:
        """Writes the whole value; readers see the old one or the new one, never a part."""
        self.kvstore.write(key, value).result()

    def delete(self, key: str) -> None:
        """Removes the key if it exists."""
        self.kvstore.write(key, None).result()

    def keys(self, prefix: str) -> list[str]:
        """All keys below the directory `prefix` ("" or ending in "/"), sorted, without write locks."""
        beyond = prefix[:-1] + "0" if prefix else ""  # "0" follows "/"; an empty bound is no bound
        listed = self.kvstore.list(ts.KvStore.KeyRange(prefix, beyond)).result()
        return sorted(name for key in listed if not (name := key.decode()).endswith(".__lock"))

    def delete_prefix(self, prefix: str) -> None:
        """Removes every key below the directory `prefix`, which ends in "/"."""
        self.kvstore.delete_range(ts.KvStore.KeyRange(prefix, prefix[:-1] + "0")).result()

    def read_json(self, key: str) -> Any | None:
        """The parsed value, or None where there is no such key.

        Raises:
          NotJsonError: what is there is not JSON.
        """
        value = self.read(key)
        if value is None:
            return None
        try:
            return json.loads(value)
        except ValueError as error:  # a UnicodeDecodeError is one, too
            raise NotJsonError(
                f"{self.url}: {key} is not JSON ({error}); it was cut or damaged, and what it said is lost. Delete "
                "that file and launch the program that writes it again with the same flags: it writes the file anew."
            ) from error

    def write_json(self, key: str, value: Any) -> None:
        """Writes canonical JSON: the same value is always the same bytes."""
        self.write(key, canonical_json(value))


def _s3_spec(url: str) -> dict[str, str]:
    """The bucket and path of an s3:// URL, at AWS or at the server that AWS's own variables name.

    boto3, through which corpora are read, follows these variables by itself; TensorStore does not.
    """
    bucket, _, path = url.removeprefix("s3://").partition("/")
    spec = {"driver": "s3", "bucket": bucket, "path": path}
    if endpoint := os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        spec["endpoint"] = endpoint
        # A server of one's own has no region that could be asked for.
        spec["aws_region"] = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return spec


def canonical_json(value: Any) -> bytes:
    """Sorted, indented UTF-8 JSON with a final newline."""
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()
