"""When, on what and with which versions was it measured?"""

import importlib.metadata
import os
import pathlib
import platform
import time

_PACKAGES = (
    *("jax", "jaxlib", "flax", "numpy", "transformers", "tokenizers", "apache-beam", "tensorstore"),
    *("torch", "sentence-transformers", "onnxruntime", "onnxscript", "faiss-cpu"),
)


def describe() -> dict[str, object]:
    """Date, device, cores, load average over a minute, and versions of what is installed."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "device": _device(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def line(described: dict[str, object]) -> str:
    """The same as a line of text."""
    versions = described["versions"]
    assert isinstance(versions, dict)
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{described['date']}, {described['device']}, {described['cores']} cores, load {described['load']:.1f}, Python "
        f"{described['python']}, {named}"
    )


def peak_memory_mb() -> float:
    """The most memory that this process has held resident so far."""
    status = pathlib.Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _device() -> str:
    from keytokens.kernels.cpu_ffi import instructions, library  # here, since JAX comes with it

    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    told = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
    units = [flag for flag in told if flag in instructions.cpu_flags()]
    built = library.best()
    own = "no C++ library" if built is None else f"C++ library for {built.name}"
    return f"{name} ({', '.join(units) or 'no vector units known'}; {own})"
