"""The C++ library in every set of instructions that it is built for: which is taken; all give the same bits."""

import os
import subprocess
import sys

import pytest

from keytokens.kernels.cpu_ffi import build, instructions, library
from tests.cpu_library import needs_cpu_library

AVX2 = {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}
VNNI = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni"}

# Everything that the library computes, of sizes that fill no vector; prints what the results hash to.
RESULTS = """
import hashlib, pathlib, sys
import jax, numpy as np
from keytokens.kernels import Join, Packed, aligned_topk, pack_rows
from keytokens.kernels import packed_attention, packed_feed_forward, packed_linears
from keytokens.kernels.cpu_ffi import library, linear

if len(sys.argv) > 1:
    library.FOLDER = pathlib.Path(sys.argv[1])
rng = np.random.default_rng(0)
normal = lambda *shape: rng.standard_normal(shape, np.float32)
packed = lambda out, size: Packed(jax.numpy.asarray(pack_rows(normal(out, size))), normal(out), out)
x, results = normal(67, 200), []
for activation in linear.ACTIVATIONS:
    results += packed_linears(x, [packed(70, 200)], activation=activation)
    join = Join(normal(67, 45), normal(45), normal(45) if activation else None, 1e-5)
    up, down, gate = packed(130, 200), packed(45, 130), packed(130, 200) if activation == "silu" else None
    results.append(packed_feed_forward(x, up, down, gate=gate, activation=activation, join=join))
segments = np.repeat([1, 2, 0, 3], [30, 3, 4, 53])[None].astype(np.int32)
for behind, ahead in ((None, None), (None, 0), (17, 5)):
    heads = [normal(1, 90, n, 20) for n in (4, 2, 2)]
    results.append(packed_attention(*heads, segments, behind=behind, ahead=ahead, scale=0.2))
for dtype, softcap in (("float32", None), ("bfloat16", 30.0)):
    head = jax.numpy.asarray(normal(9001, 77), dtype)
    options = dict(implementation="cpu_ffi", softcap=softcap, with_logsumexp=True)
    results += jax.tree.leaves(aligned_topk(jax.numpy.asarray(normal(50, 77)), head, 40, **options))
digest = hashlib.sha256()
for each in results:
    assert np.isfinite(np.asarray(each)).all()
    digest.update(np.asarray(each).tobytes())
print(library.best().name, digest.hexdigest())
"""


def results(name: str, *folder: str) -> list[str]:
    """The library's name and the hash: an XLA process keeps the handlers it has, so each runs in its own."""
    ran = subprocess.run(
        [sys.executable, "-c", RESULTS, *folder],
        env={**os.environ, instructions.OVERRIDE: name},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


@needs_cpu_library
def test_all_sets_give_the_same_bits():
    built = [each.name for each in instructions.usable() if library.path_of(each).exists()]
    found = [results(name) for name in built]
    assert [name for name, _ in found] == built
    assert len({digest for _, digest in found}) == 1


@needs_cpu_library
@pytest.mark.integration
def test_so_does_the_form_for_any_machine(monkeypatch, tmp_path):
    own, anywhere = instructions.usable()[0], instructions.ALL[-1]
    # Other machines multiply and add in one step, too.
    fused = ("-mfma",) if own.machine == "x86_64" else ()
    monkeypatch.setattr(instructions, "of_machine", lambda: (anywhere._replace(name=own.name, flags=fused),))
    assert build.build(tmp_path) == [library.path_of(own, tmp_path)]
    assert results(own.name, str(tmp_path)) == results(own.name)


@pytest.mark.parametrize(
    ("machine", "flags", "names"),
    [
        ("x86_64", AVX2 | VNNI, ["avx512", "avx2"]),
        ("x86_64", AVX2 | VNNI - {"avx512_vnni"}, ["avx2"]),
        ("x86_64", AVX2 - {"fma"}, []),
        ("x86_64", set(), []),
        ("aarch64", {"asimd"}, ["any"]),
        ("arm64", set(), ["any"]),
    ],
)
def test_a_cpu_gets_what_it_has_the_best_first(monkeypatch, machine, flags, names):
    monkeypatch.delenv(instructions.OVERRIDE, raising=False)
    monkeypatch.setattr(instructions.platform, "machine", lambda: machine)
    monkeypatch.setattr(instructions, "cpu_flags", lambda: frozenset(flags))
    assert [each.name for each in instructions.usable()] == names


def test_the_environment_may_name_one_that_the_cpu_has(monkeypatch):
    monkeypatch.setattr(instructions.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(instructions, "cpu_flags", lambda: frozenset(AVX2 | VNNI))
    monkeypatch.setenv(instructions.OVERRIDE, "avx2")
    assert [each.name for each in instructions.usable()] == ["avx2"]
    monkeypatch.setenv(instructions.OVERRIDE, "neon")
    with pytest.raises(ValueError, match=r"KEYTOKENS_CPU_INSTRUCTIONS='neon' is none of .*: avx512, avx2\. Unset it"):
        library.is_fast()


def test_what_is_built_counts_not_what_could_be(monkeypatch, tmp_path):
    monkeypatch.setattr(instructions.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(instructions, "cpu_flags", lambda: frozenset(AVX2 | VNNI))
    monkeypatch.delenv(instructions.OVERRIDE, raising=False)
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    assert library.best() is None and not library.is_fast()
    (tmp_path / "libkeytokens_cpu_avx2.so").touch()
    assert library.best().name == "avx2" and library.is_fast()


def test_slow_forms_are_only_taken_when_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(instructions.platform, "machine", lambda: "aarch64")
    monkeypatch.delenv(instructions.OVERRIDE, raising=False)
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    (tmp_path / "libkeytokens_cpu_any.so").touch()
    assert library.best().name == "any" and not library.is_fast()
