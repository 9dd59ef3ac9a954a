"""Who imports whom: data flows one way."""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
STDLIB = set(sys.stdlib_module_names)

# Folder -> what its files may import besides the standard library and their own folder.
ALLOWED = {
    "kernels": {"jax"},
    "kernels/cpu_ffi": {"jax", "numpy"},  # attributes of a foreign call are numpy scalars
    "models": {"jax", "flax", "numpy", "ml_dtypes", "safetensors", "transformers", "huggingface_hub"},
    "pipelines/analysis": {"numpy", "scipy"},
    "pipelines/words": {
        *("jax", "numpy", "matplotlib", "safetensors", "tensorstore"),
        *("keytokens", "keytokens.kernels", "keytokens.models"),
    },
    "pipelines/training": {
        *("jax", "flax", "numpy", "scipy", "optax", "orbax", "tokenizers", "transformers", "safetensors", "ml_dtypes"),
        *("keytokens", "keytokens.models"),
    },
    "pipelines/retrieval": {
        *(
            "apache_beam",
            "jax",
            "numpy",
            "scipy",
            "tensorstore",
            "safetensors",
            "google",
            "ir_measures",
            "mteb",
            "torch",
        ),
        *("keytokens", "keytokens.kernels", "keytokens.models"),
    },
    "pipelines": {
        *("absl", "apache_beam", "jax", "matplotlib", "numpy", "tensorstore"),
        *("keytokens", "keytokens.kernels", "keytokens.models"),
    },
}


def imported(path: pathlib.Path) -> set[str]:
    """Top-level names of foreign imports; of our own, the folder."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module]
            if node.module == "keytokens":
                names = [f"keytokens.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            found.add(".".join(parts[:2]) if parts[0] == "keytokens" else parts[0])
    return found


def folder_of(path: pathlib.Path) -> str:
    relative = path.relative_to(ROOT).as_posix()
    return max((folder for folder in ALLOWED if relative.startswith(folder + "/")), key=len)


FILES = [path for folder in ("kernels", "models", "pipelines") for path in sorted((ROOT / folder).rglob("*.py"))]


def test_there_are_files():
    assert {folder_of(path) for path in FILES} == set(ALLOWED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_imports_only_what_its_folder_may(path):
    folder = folder_of(path)
    own = f"keytokens.{folder.split('/')[0]}"
    foreign = imported(path) - STDLIB - ALLOWED[folder] - {own}
    assert not foreign, f"{folder}/ must not import {sorted(foreign)}"


@pytest.mark.parametrize("path", [p for p in FILES if folder_of(p) == "pipelines/analysis"], ids=lambda p: p.name)
def test_the_mathematics_of_the_analyses_imports_no_program(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            assert not name.startswith("keytokens.pipelines") or name.startswith("keytokens.pipelines.analysis")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_is_named_like_one_of_the_standard_library(path):
    # `python pipelines/types.py` would put its folder first on the path and break every import of `types`.
    # A file inside a subfolder cannot be run that way.
    if path.parent.parent == ROOT and path.name != "__init__.py":
        assert path.stem not in STDLIB
