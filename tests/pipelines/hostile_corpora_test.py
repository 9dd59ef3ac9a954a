"""Corpora that nobody would write on purpose: every row ends as a row or as a dead letter, or nothing starts."""

import json

import numpy as np
import pytest
from hypothesis import Phase, given, reject, settings
from hypothesis import strategies as st

from keytokens.pipelines import align_run, corpus, corpus_refusals, reading, unit_work
from tests import small_run

FILE = corpus.CorpusFile("a.jsonl", "a.jsonl", "jsonl")
# st.text() alone never has half of a surrogate pair, which JSON can spell and UTF-8 cannot store.
any_characters = st.characters(exclude_categories=()) | st.sampled_from("\ud800\udfff")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(any_characters, max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(any_characters, max_size=5), inner, max_size=3),
    max_leaves=6,
)
records = st.dictionaries(st.sampled_from(["_id", "id", "text", "title", "x"]), json_values, max_size=4)
lines = st.one_of(
    st.binary(max_size=60),
    st.text(any_characters, max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    records.map(lambda record: json.dumps(record).encode()),
    records.map(lambda record: json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    records.map(lambda record: json.dumps(record).encode()[:-1]),
    st.integers(1, 5000).map(lambda depth: b"[" * depth),
)


@settings(max_examples=300, deadline=None)
@given(line=lines, number=st.integers(1, 3))
def test_a_line_is_a_document_or_a_dead_letter_that_can_be_stored(line, number):
    found = corpus.parse_line(line, file=FILE, row=7, number=number)
    assert found.row == 7
    found.doc_id.encode()
    if isinstance(found, corpus.Document):
        assert found.text.strip()
        found.text.encode()
    else:
        assert found.kind in {
            *("invalid_json", "not_an_object", "missing_text", "text_not_string", "title_not_string"),
            *("bad_id", "invalid_utf8", "empty"),
        }
        json.loads(found.to_json().encode())


def account(store, num_rows: int) -> dict:
    """Every row is embedded, or a dead letter that is listed."""
    counts = store.manifest["counts"]
    assert counts["rows"] == num_rows == counts["embedded"] + counts["dead_letters"]
    letters = [letter for letter in store.dead_letters() if letter["kind"] != "duplicate_id"]
    assert len({letter["row"] for letter in letters}) == len(letters) == counts["dead_letters"]
    assert store.column("dead_letter").sum() == len(letters) and len(list(store.doc_ids())) == num_rows
    return counts


one_line = lines.map(lambda line: line.replace(b"\n", b" "))


@settings(max_examples=6, deadline=None)
@given(hostile=st.lists(one_line, max_size=40), ends=st.booleans())
def test_a_corpus_of_anything_is_accounted_for(tmp_path_factory, hostile, ends):
    account_for_fuzz(tmp_path_factory, hostile, ends)


@pytest.mark.integration
@settings(max_examples=20, deadline=None, derandomize=True, phases=[Phase.generate])  # shrinking would take hours
@given(originals=st.lists(one_line, min_size=10, max_size=10), seed=st.integers(0, 2**32), ends=st.booleans())
def test_ten_thousand_malformed_records_are_accounted_for(tmp_path_factory, originals, seed, ends):
    """Twenty corpora of 500: records cut, spliced and with bytes changed."""
    rng = np.random.default_rng(seed)
    hostile = []
    for _ in range(500):
        first, second = (originals[i] for i in rng.integers(0, 10, 2))
        line = bytearray(first[: rng.integers(0, len(first) + 1)] + second[rng.integers(0, len(second) + 1) :])
        for at in rng.integers(0, max(1, len(line)), min(len(line), 2)):
            line[at] = rng.integers(0, 256)
        hostile.append(bytes(line).replace(b"\n", b"}"))
    account_for_fuzz(tmp_path_factory, hostile, ends)


def account_for_fuzz(tmp_path_factory, hostile, ends):
    content = b"\n".join(hostile) + (b"\n" if ends and hostile else b"")
    try:
        corpus_refusals.refuse_content("fuzz.jsonl", content, json_lines=True)
    except ValueError:
        reject()
    directory = tmp_path_factory.mktemp("fuzz")
    (directory / "fuzz.jsonl").write_bytes(content)
    rows = len(hostile) - (not ends and bool(hostile) and hostile[-1] == b"")
    asked = small_run.options(directory, corpus=(str(directory / "fuzz.jsonl"),), unit_rows=128)
    account(small_run.launch_without_engine(asked), rows)


def test_an_id_that_no_store_can_hold_costs_its_row_and_not_the_run(tmp_path):
    (tmp_path / "sur.jsonl").write_text('{"_id": "\\ud800", "text": ""}\n{"_id": "b", "text": "the wing"}\n')
    store = small_run.launch_without_engine(small_run.options(tmp_path, corpus=(str(tmp_path / "sur.jsonl"),)))
    assert account(store, 2)["dead_letters"] == 1
    assert list(store.doc_ids()) == ["sur.jsonl:1", "b"]


def test_dead_letters_that_hold_line_separators_read_back(tmp_path):
    (tmp_path / "odd.jsonl").write_text('{"a": "\u2028\u0085"}\n{"b": "\x0b\x1c"}\n', "utf-8")
    store = small_run.launch_without_engine(small_run.options(tmp_path, corpus=(str(tmp_path / "odd.jsonl"),)))
    assert account(store, 2)["dead_letters"] == 2


@pytest.mark.parametrize("num_rows", [0, 1, 3])
def test_few_documents(tmp_path, num_rows):
    (tmp_path / "few.txt").write_text("the wing\n" * num_rows)
    store = small_run.launch_without_engine(small_run.options(tmp_path, corpus=(str(tmp_path / "few.txt"),)))
    assert account(store, num_rows)["embedded"] == num_rows


@pytest.mark.integration
def test_one_document_of_five_megabytes(tmp_path):
    (tmp_path / "long.txt").write_text("supersonic flow over a wing " * 180_000)
    assert (tmp_path / "long.txt").stat().st_size > 5_000_000
    store = small_run.launch_without_engine(small_run.options(tmp_path, corpus=(str(tmp_path / "long.txt"),)))
    counts = account(store, 1)
    assert (counts["embedded"], counts["truncated"]) == (1, 1)


@pytest.mark.integration
def test_a_hundred_thousand_empty_lines(tmp_path):
    (tmp_path / "empty.jsonl").write_bytes(b"\n" * 100_000)
    store = small_run.launch_without_engine(
        small_run.options(tmp_path, corpus=(str(tmp_path / "empty.jsonl"),), unit_rows=4096)
    )
    counts = account(store, 100_000)
    assert counts["dead_letters"] == 100_000 and store.merged_moments().f.count == 0


def test_a_corpus_that_changes_after_planning_is_refused_and_leaves_no_marker(tmp_path):
    path = tmp_path / "docs.txt"
    path.write_text("".join(f"the wing {i}\n" for i in range(40)))
    asked = small_run.options(tmp_path, corpus=(str(path),))
    run, planned = align_run.prepare(asked)
    path.write_text(path.read_text().replace("wing 20", "cone 20"))  # the same length
    unit_work.process(run, planned.units[0])
    with pytest.raises(reading.CorpusChangedError, match=r"docs\.txt, lines 17 to 32: the bytes differ"):
        unit_work.process(run, planned.units[1])
    assert unit_work.finished(run, planned.units[1]) is None
    with pytest.raises(ValueError, match=r"(?s)corpus_sha256: stored .*--overwrite"):
        align_run.prepare(asked)
