"""Which tensor of a checkpoint fills which parameter: every parameter is set, every tensor is used, or nothing is."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax

from keytokens.models.abstract import abstract_head_transform
from keytokens.models.families.family import Family
from keytokens.models.spec import Spec
from keytokens.models.stored import StoredTensor, unreadable

# A parameter's way in the tree, such as ("layers", 3, "attn", "q", "weight").
Path = tuple[str | int, ...]
# BERT's first checkpoints say gamma and beta.
_LEAVES = {"weight": ("weight", "gamma"), "bias": ("bias", "beta")}


@dataclasses.dataclass(frozen=True)
class Assignment:
    """The parameters of one checkpoint, with the tensors that fill them.

    Attributes:
      sources: parameter -> tensor name.
      tensors: all tensors by name, roots stripped.
      problems: everything that does not fit, one line each.
    """

    sources: Mapping[Path, str]
    tensors: Mapping[str, StoredTensor]
    problems: tuple[str, ...]


def strip_root(name: str, roots: Iterable[str]) -> str:
    """The tensor's name without the prefix of the class that saved it."""
    return next((name.removeprefix(root) for root in roots if name.startswith(root)), name)


def head_shapes(spec: Spec, *, transform: bool, bias: bool) -> dict[str, Any]:
    """Nested dict of the parameters of the LM head, as shapes: `transform`, `head.weight` if untied, `head.bias`."""
    shapes: dict[str, Any] = {"head": {}}
    if transform:
        shapes["transform"] = abstract_head_transform(spec).shapes
    if not spec.head.tied:
        shapes["head"]["weight"] = jax.ShapeDtypeStruct((spec.vocab, spec.embed_width), "float32")
    if bias:
        shapes["head"]["bias"] = jax.ShapeDtypeStruct((spec.vocab,), "float32")
    return shapes


def flatten(tree: Mapping[Any, Any], prefix: Path = ()) -> dict[Path, Any]:
    """The leaves of a nested dict by their paths."""
    found: dict[Path, Any] = {}
    for key, value in tree.items():
        found |= flatten(value, (*prefix, key)) if isinstance(value, Mapping) else {(*prefix, key): value}
    return found


def unflatten(leaves: Mapping[Path, Any]) -> dict[Any, Any]:
    """The nested dict of leaves by their paths."""
    tree: dict[Any, Any] = {}
    for path, leaf in leaves.items():
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = leaf
    return tree


def assign(
    family: Family, shapes: Mapping[Path, Any], stored: Mapping[str, StoredTensor], *, check_surplus: bool = True
) -> Assignment:
    """Finds a tensor for every parameter, pulling: a parameter without one is a problem, and so is a tensor left over.

    Args:
      family: whose names apply.
      shapes: the wanted parameters; those under "body" are the transformer's, those under "head" the head's.
      stored: the checkpoint.
      check_surplus: whether tensors without a parameter are problems.
    """
    tensors = {strip_root(name, family.roots): tensor for name, tensor in stored.items()}
    sources: dict[Path, str] = {}
    problems = []
    unfit = set()
    for path, shape in shapes.items():
        names = candidates(family, path)
        name = next((name for name in names if name in tensors), None)
        if name is None:
            problems.append(f"{' or '.join(names)} {_sizes(shape.shape)} is missing")
        elif tensors[name].shape != shape.shape:
            unfit.add(name)
            problems.append(
                f"{name} is {_sizes(tensors[name].shape)} in the checkpoint, {_sizes(shape.shape)} by its config.json"
            )
        elif problem := unreadable(name, tensors[name]):
            unfit.add(name)
            problems += problem
        else:
            sources[path] = name
    if len(tensors) < len(stored):
        problems.append("tensors with and without the prefix of their class have the same names")
    left_over = surplus(family, tensors.keys() - unfit - set(sources.values())) if check_surplus else []
    problems += [
        f"{name} {_sizes(tensors[name].shape)} has no place in this architecture" for name in sorted(left_over)
    ]
    return Assignment(sources, tensors, tuple(problems))


def candidates(family: Family, path: Path) -> list[str]:
    """The names under which a checkpoint may hold the parameter, the usual one first."""
    part, *inner, leaf = path
    decoder = inner[0] == "decoder"
    inner = inner[1:] if decoder else inner
    names, layer = family.names, family.layer
    if part == "head":
        names, layer = family.head_names, ""
    elif decoder:
        names, layer = family.decoder_names, family.decoder_layer
    prefix = ""
    if inner[0] == "layers":
        prefix = layer.format(inner[1])
        inner = inner[2:]
    # A decoder block attends twice, so its modules are named by their whole way.
    listed = names[".".join(map(str, inner)) if decoder else str(inner[-1])]
    stems = (listed,) if isinstance(listed, str) else listed
    return [f"{prefix}{stem}.{name}" for name in _LEAVES[str(leaf)] for stem in stems]


def surplus(family: Family, names: Iterable[str]) -> list[str]:
    """Those names that are neither ignored by the family nor part of its LM head."""
    ignored = re.compile("|".join(family.ignored_tensors) or r"(?!)")
    stems = [
        stem for listed in family.head_names.values() for stem in ((listed,) if isinstance(listed, str) else listed)
    ]
    heads = {f"{stem}.{leaf}" for stem in stems for leaves in _LEAVES.values() for leaf in leaves}
    return [name for name in names if not ignored.fullmatch(name) and name not in heads]


def _sizes(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
