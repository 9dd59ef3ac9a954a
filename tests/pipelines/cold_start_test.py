"""What a start costs, as far as it can be proven without a clock: who imports what, and what is compiled twice."""

import filecmp
import os
import pathlib
import re
import subprocess
import sys

import pytest

from keytokens import kernels, models
from keytokens.models import pooling
from keytokens.pipelines import compilation

ROOT = pathlib.Path(__file__).parents[2]
PROGRAMS = sorted(p.stem for p in (ROOT / "pipelines").glob("*.py") if "cli.run(main" in p.read_text("utf-8"))
HEAVY = ("apache_beam", "flax", "jax", "matplotlib", "optax", "orbax", "scipy.linalg", "scipy.sparse", "scipy.stats")
HEAVY = (*HEAVY, "tokenizers", "transformers")
_HELP = """
import runpy, sys
sys.argv = ["program", "--help"]
try:
    runpy.run_module("keytokens.pipelines.{program}", run_name="__main__", alter_sys=True)
except SystemExit:
    print("imported:", *(name for name in {heavy} if name in sys.modules))
"""
_COMPILING = re.compile(r"compiling: [\d.]+ s for (\d+) programs, of which the compilation cache had (\d+)")


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JAX_ENABLE")}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=300, env=inherited | environment
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_imports_nothing_that_takes_a_second(program):
    done = python("-c", _HELP.format(program=program, heavy=HEAVY))
    assert "flags:" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "imported:"


@pytest.mark.parametrize("package", [kernels, models])
def test_names_that_are_imported_later_are_the_ones_promised(package):
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert set(package._LATER) <= set(package.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = package.no_such_name


def test_every_pooling_is_implemented():
    assert {*pooling._WEIGHTS, "decoder"} == set(models.POOLINGS)


def align(checkpoint: str, directory: pathlib.Path, name: str, *further: str) -> subprocess.CompletedProcess:
    (directory / "docs.txt").write_text("the wing in supersonic flow\nheat transfer to a cone\na jet\nboundary layer\n")
    done = python(
        *("-m", "keytokens.pipelines.align_corpus", f"--model={checkpoint}", f"--corpus={directory}/docs.txt"),
        *(f"--output={directory}/{name}.zarr", "--k=5", "--unit_rows=2", *further),
        XDG_CACHE_HOME=str(directory / "cache"),
    )
    assert done.returncode == 0, done.stderr
    return done


def compiled(done: subprocess.CompletedProcess) -> tuple[int, int]:
    """How many programs were compiled, and how many of them the cache had."""
    found = _COMPILING.search(done.stdout)
    assert found is not None, done.stdout
    return int(found[1]), int(found[2])


def same(left: pathlib.Path, right: pathlib.Path) -> bool:
    files = [{p.relative_to(root) for p in root.rglob("*") if p.is_file()} for root in (left, right)]
    return files[0] == files[1] and all(filecmp.cmp(left / one, right / one, shallow=False) for one in files[0])


def test_a_second_start_compiles_nothing_and_writes_the_same_bytes(checkpoint, tmp_path):
    programs, from_cache = compiled(align(checkpoint, tmp_path, "first"))
    assert programs > 0 and from_cache == 0
    kept = sorted((tmp_path / "cache" / "keytokens" / "xla").rglob("*-cache"))
    assert len(kept) == programs
    assert compiled(align(checkpoint, tmp_path, "second")) == (programs, programs)
    # Worker processes read no flags of ours, and know of it by their environment.
    workers = ("--", "--direct_running_mode=multi_processing", "--direct_num_workers=2")
    of_workers, from_cache = compiled(align(checkpoint, tmp_path, "third", *workers))
    assert of_workers == from_cache and of_workers >= programs
    assert compiled(align(checkpoint, tmp_path, "fourth", "--compilation_cache=off")) == (programs, 0)
    assert sorted((tmp_path / "cache" / "keytokens" / "xla").rglob("*-cache")) == kept
    for name in ("second", "third", "fourth"):
        assert same(tmp_path / "first.zarr", tmp_path / f"{name}.zarr"), name


def test_a_cache_that_cannot_be_written_is_a_warning(checkpoint, tmp_path):
    (tmp_path / "file").write_text("")
    done = align(checkpoint, tmp_path, "out", f"--compilation_cache={tmp_path}/file")
    [line] = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert "cannot be kept" in line and "--compilation_cache=off" in line
    assert compiled(done)[1] == 0


def test_a_damaged_entry_is_compiled_again(checkpoint, tmp_path):
    programs, _ = compiled(align(checkpoint, tmp_path, "first"))
    for entry in (tmp_path / "cache").rglob("*-cache"):
        entry.write_bytes(entry.read_bytes()[:100])
    assert compiled(align(checkpoint, tmp_path, "second")) == (programs, 0)
    assert same(tmp_path / "first.zarr", tmp_path / "second.zarr")


def test_the_library_keeps_nothing_by_itself():
    code = "import keytokens.pipelines.explain.text, jax; print(jax.config.jax_compilation_cache_dir)"
    assert python("-c", code).stdout.strip() == "None"


def test_what_the_user_has_told_jax_stands(tmp_path):
    for told in ({"JAX_COMPILATION_CACHE_DIR": "/elsewhere"}, {"JAX_ENABLE_COMPILATION_CACHE": "false"}):
        environment = dict(told)
        assert compilation.use_cache(None, environment) is None
        assert environment == told
    environment = {"JAX_COMPILATION_CACHE_DIR": "/elsewhere", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "3"}
    assert compilation.use_cache(str(tmp_path), environment) is None
    assert pathlib.Path(environment["JAX_COMPILATION_CACHE_DIR"]).parent == tmp_path
    assert environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "3"


def test_the_oldest_entries_go_when_there_are_too_many(tmp_path):
    for age in range(10):
        (tmp_path / f"{age}-cache").write_bytes(b"x" * 100)
        os.utime(tmp_path / f"{age}-cache", (1000 - age, 1000 - age))
    compilation._forget_oldest(tmp_path, 1000)
    assert len(list(tmp_path.iterdir())) == 10
    compilation._forget_oldest(tmp_path, 900)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{age}-cache" for age in range(4)]
