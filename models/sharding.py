"""Parameters and batches on a mesh of devices: an axis "data" over texts, an axis "model" over each layer's numbers."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from keytokens.models.embedder_config import EmbedderConfig
from keytokens.models.errors import ModelError
from keytokens.models.families import FAMILIES, Family
from keytokens.models.families.family import Split
from keytokens.models.loading import Place
from keytokens.models.parameters import Path

DATA, MODEL = "data", "model"
_SPLIT_MATRICES = {
    Split.ROWS: PartitionSpec(MODEL, None),
    Split.COLUMNS: PartitionSpec(None, MODEL),
}


def make_mesh(*, data: int, model: int) -> Mesh:
    """A mesh of data x model local devices.

    Raises:
      ModelError: there are not as many.
    """
    devices = jax.local_devices()
    if data * model != len(devices):
        raise ModelError(
            f"a mesh of data={data} x model={model} takes {data * model} devices and there are {len(devices)}; choose "
            "factors of that number."
        )
    return Mesh(np.asarray(devices).reshape(data, model), (DATA, MODEL))


def place_on_mesh(mesh: Mesh, config: EmbedderConfig) -> Place:
    """Puts each parameter on the mesh by its family's partition rules; for `load_embedder(config, place=...)`.

    Raises (when it places):
      ModelError: a parameter cannot be divided evenly.
    """
    family = FAMILIES[config.model_type]
    ways = mesh.shape[MODEL]

    def place(path: Path, value: np.ndarray) -> jax.Array:
        spec = partition_spec(family, path, value.ndim)
        for axis, name in enumerate(spec):
            if name is not None and value.shape[axis] % ways:
                raise ModelError(
                    f"{'.'.join(map(str, path))} {list(value.shape)} cannot be divided into {ways} along axis {axis}; "
                    "choose a model axis that divides the model's width, heads and feed-forward width."
                )
        return jax.device_put(value, NamedSharding(mesh, spec))

    return place


def partition_spec(family: Family, path: Path, num_axes: int) -> PartitionSpec:
    """How one parameter is divided; vectors follow the rows of their matrix."""
    split = family.partition.get(str(path[-2]))
    if split is None:
        return PartitionSpec()
    if num_axes > 1:
        return _SPLIT_MATRICES[split]
    return PartitionSpec(MODEL) if split is Split.ROWS else PartitionSpec()


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Of token ids, mask and pooled [B, T]: texts over the data axis, whose size must divide B."""
    return NamedSharding(mesh, PartitionSpec(DATA, None))
