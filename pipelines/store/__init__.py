"""The store: a directory of plain zarr v3 that AnnData, scipy, zarr-python and TensorStore open without us.

`schema.py` says which arrays there are, `arrays.py` how one is laid out in shards, `strings.py` how text columns are
encoded, `files.py` reads and writes bytes at any kvstore URL, `run_state.py` knows which units are done, `identity.py`
refuses a store of another run, and `reader.py` is how our own analyses read one. BUILD_NOTES.md documents the format as
a contract.
"""

SCHEMA_VERSION = 1
