"""Our search as MTEB drives it, without MTEB itself, which tests/integration/mteb_test.py has: what it is handed."""

import types

import pytest

from keytokens.pipelines.retrieval import Index, QueryOptions, mteb_adapters
from tests import small_index

ROWS = [("a", "wing flow"), ("b", "heat of a plate"), ("c", "shock wave"), ("a", "jet of air and wing flow theory")]
GIVEN = {"task_metadata": types.SimpleNamespace(name="toy"), "hf_split": "test", "hf_subset": "default"}


@pytest.fixture(scope="module")
def search(tmp_path_factory) -> mteb_adapters.SparseSearch:
    directory = tmp_path_factory.mktemp("mteb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mteb_adapters, "_meta", lambda *unused: None)  # MTEB's card of the model
        found = mteb_adapters.SparseSearch(
            small_index.model(),
            directory,
            index_options=small_index.OPTIONS,
            query_options=QueryOptions(mode="dense"),
        )
    found.index([{"id": name, "text": text} for name, text in ROWS], **GIVEN)
    return found


@pytest.fixture(scope="module")
def best(search) -> dict[str, float]:
    """Id -> score of its better row."""
    assert isinstance(search._index, Index)
    (hits,) = search._index.search("wing flow", 4, options=QueryOptions(mode="dense"))
    assert [hit.doc_id for hit in hits].count("a") == 2
    found: dict[str, float] = {}
    for hit in hits:
        found[hit.doc_id] = max(hit.score, found.get(hit.doc_id, -2.0))
    return found


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_the_best_row_of_an_id_counts_and_the_others_take_no_place(search, best, top_k):
    (found,) = search.search({"id": ["q"], "text": ["wing flow"]}, top_k=top_k, **GIVEN).values()
    expected = sorted(best.items(), key=lambda item: -item[1])[:top_k]
    assert list(found.items()) == [(name, pytest.approx(score)) for name, score in expected]


def test_only_the_documents_to_rerank(search, best):
    given = {"q": ["a", "c"]}
    found = search.search({"id": ["q"], "text": ["wing flow"]}, top_k=3, top_ranked=given, **GIVEN)["q"]
    assert found == pytest.approx({name: best[name] for name in "ac"})
