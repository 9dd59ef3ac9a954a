"""From config.json to a family and a Spec, every attribute accounted for."""

import dataclasses
from pathlib import Path
from typing import Any

from keytokens.models.config_attributes import Attributes
from keytokens.models.errors import ModelError, raise_together
from keytokens.models.families import FAMILIES, Family
from keytokens.models.hugging_face import import_transformers
from keytokens.models.json_files import read_json, shown
from keytokens.models.ops import ACTIVATIONS
from keytokens.models.spec import Spec

# Functions that transformers has under several names, which differ by rounding at most.
_SAME_ACTIVATIONS = {
    "swish": "silu",
    "gelu_python": "gelu",
    "gelu_accurate": "gelu_new",
    "gelu_fast": "gelu_new",
    "gelu_python_tanh": "gelu_pytorch_tanh",
}


def read_config(directory: str | Path) -> Any:
    """What AutoConfig makes of the directory's config.json; code that comes with the checkpoint is never run.

    Raises:
      ModelError: no config.json, one that cannot be read, or an architecture that is not implemented.
    """
    file = Path(directory) / "config.json"
    if not file.is_file():
        raise ModelError(f"{directory} has no config.json, so it is no checkpoint in Hugging Face layout.")
    kind = read_json(file, dict).get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise ModelError(f"{file} says model_type={kind!r}, which is not implemented; {', '.join(FAMILIES)} are.")
    try:
        return import_transformers().AutoConfig.from_pretrained(directory, trust_remote_code=False)
    except Exception as error:  # Each configuration's own checks, and huggingface_hub's, raise what they like.
        raise ModelError(
            f"transformers cannot read {file}: {error!r}. No model follows from it; correct it, or download it again."
        ) from error


def read_spec(
    directory: str | Path, config: Any, *, attention: str = "checkpoint", decoder: bool = False
) -> tuple[Family, Spec]:
    """The family of a configuration and its Spec.

    Args:
      directory: of the configuration, for messages.
      config: from `read_config`; changed where `attention` is against it.
      attention: "causal" or "bidirectional" against the configuration, or "checkpoint" for what it says.
      decoder: whether an encoder-decoder's decoder is wanted.

    Raises:
      ModelError: an attribute that is unknown, or known with a value that is not implemented, all of them at once; or
        values that no model can have.
    """
    family = FAMILIES[config.model_type]
    if family.causal_attribute and attention != "checkpoint":
        setattr(config, *family.causal_attribute(attention == "causal"))
    elif attention == "causal":
        raise ModelError(f"attention='causal' cannot be asked of {config.model_type}, which has no such form.")
    if getattr(config, "auto_map", None) and attention == "checkpoint" and family.causal_attribute:
        raise ModelError(
            f"{directory} comes with code of its own (auto_map in config.json), which is never run and may change who "
            "sees whom. Say which it is: attention='causal' or attention='bidirectional'."
        )
    attributes = Attributes(config)
    spec = _make_spec(family, attributes, Path(directory) / "config.json")
    raise_together(
        attributes.problems(ignored=family.ignored_attributes, fixed=family.fixed_attributes),
        where=f"{Path(directory) / 'config.json'}",
        cure=(
            "Hidden states may depend on them. If one does not, add it to the ignored attributes of "
            f"{config.model_type} in keytokens/models/families."
        ),
    )
    if decoder and not spec.decoder_layers:
        raise ModelError(f"pooling='decoder' needs an encoder-decoder; {directory} is a {config.model_type}.")
    return family, spec if decoder else dataclasses.replace(spec, decoder_layers=0)


def _make_spec(family: Family, attributes: Attributes, file: Path) -> Spec:
    """The Spec, if the configuration's values allow for one."""
    raise_together(
        attributes.impossible_sizes(),
        where=str(file),
        cure="No model has such sizes; correct them, or download the file again.",
    )
    try:
        spec = family.spec(attributes)
    except ModelError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(
            f"{file} has values that no {attributes.model_type} can have: {error!r}. Nothing can be built by them; "
            "correct them, or download the file again."
        ) from error
    return dataclasses.replace(spec, activation=_activation(spec.activation, file))


def _activation(name: object, file: Path) -> str:
    """The key of `ops.ACTIVATIONS` that computes what transformers does by this name."""
    own = _SAME_ACTIVATIONS.get(name, name) if isinstance(name, str) else ""
    if own not in ACTIVATIONS:
        known = ", ".join([*ACTIVATIONS, *_SAME_ACTIVATIONS])
        raise ModelError(
            f"{file} asks for the activation {shown(name)}, which is not implemented; {known} are. Another function "
            "would give other vectors: take a checkpoint with one of these."
        )
    return own
