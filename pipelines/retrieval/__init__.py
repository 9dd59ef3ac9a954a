"""Sparse retrieval: a store's key tokens as one inverted index, searched exactly, explained, evaluated and exported.

`Index.open(url).search(texts, k)` is all that most users need. `build.py` makes the index (`blocks.py`, `planning.py`,
`merge.py`), `queries.py` turns texts into weights, `engine.py` scores, `evaluation.py` measures systems and `sweep.py`
options (in memory, `bench.py`), `exports/` writes what other engines read, and `mteb_adapters.py` lets MTEB drive both
searches.
"""

from keytokens.pipelines.retrieval.index import Hit, Index, MatchedToken
from keytokens.pipelines.retrieval.options import IndexOptions, QueryOptions

__all__ = ["Hit", "Index", "IndexOptions", "MatchedToken", "QueryOptions"]
