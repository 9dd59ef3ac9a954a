"""How files are found and how a line becomes a document or a dead letter."""

import json

import pytest

from keytokens.pipelines import corpus

JSONL = corpus.CorpusFile("/data/docs.jsonl", "docs.jsonl", "jsonl")
TEXT = corpus.CorpusFile("/data/docs.txt", "docs.txt", "text")


def parse(line: bytes, *, file=JSONL, number=2):
    return corpus.parse_line(line, file=file, row=7, number=number)


@pytest.mark.parametrize(
    ("line", "doc_id", "text"),
    [
        (b'{"_id": "a", "text": "hello"}\n', "a", "hello"),
        (b'{"id": 5, "text": "hello"}\r\n', "5", "hello"),
        (b'{"_id": "a", "id": "b", "text": "hello"}', "a", "hello"),
        (b'{"text": "hello"}', "docs.jsonl:2", "hello"),
        (b'{"_id": null, "text": "hello"}', "docs.jsonl:2", "hello"),
        (b'{"_id": "", "text": "hello"}', "docs.jsonl:2", "hello"),
        (b'{"_id": null, "id": "b", "text": "hello"}', "b", "hello"),
        (b'{"_id": "", "id": "b", "text": "hello"}', "b", "hello"),
        (b'{"_id": 0, "id": "b", "text": "hello"}', "0", "hello"),
        (b'{"_id": "a", "title": "T", "text": "x"}', "a", "T x"),
        (b'{"_id": "a", "title": "", "text": "x"}', "a", "x"),
        (b'{"_id": "a", "title": null, "text": "x"}', "a", "x"),
        (b'{"_id": "a", "title": "T", "text": ""}', "a", "T"),
        ('{"_id": "é", "text": "naïve \\u00e9 日本"}'.encode(), "é", "naïve é 日本"),
    ],
)
def test_a_json_line_becomes_a_document(line, doc_id, text):
    document = parse(line)
    assert document == corpus.Document(row=7, doc_id=doc_id, text=text, file="docs.jsonl", line=2)


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        (b"{'text': 1}", "invalid_json", "not JSON"),
        (b'{"text": "cut', "invalid_json", "not JSON"),
        (b"[" * 100_000, "invalid_json", "recursion"),
        (b'"just a string"', "not_an_object", "JSON str"),
        (b"[1, 2]", "not_an_object", "JSON list"),
        (b"{}", "missing_text", "no 'text'"),
        (b'{"_id": "a", "body": "x"}', "missing_text", "_id"),
        (b'{"text": 3}', "text_not_string", "'text' is of type int, not a string"),
        (b'{"text": null}', "text_not_string", "NoneType"),
        (b'{"title": ["T"], "text": "x"}', "title_not_string", "list"),
        (b'{"_id": ["a"], "text": "x"}', "bad_id", "the id is of type list"),
        (b'{"_id": true, "text": "x"}', "bad_id", "bool"),
        (b'{"_id": "a", "text": ""}', "empty", "empty"),
        (b'{"_id": "a", "text": " \\n\\t "}', "empty", "empty"),
        (b"", "empty", "line is empty"),
        (b"   \n", "empty", "line is empty"),
        (b'{"text": "\xff"}', "invalid_utf8", "not UTF-8"),
        (b'{"text": "\\ud800"}', "invalid_utf8", "surrogates"),
        (b'{"_id": "\\ud800", "text": "x"}', "invalid_utf8", "the id is not Unicode text: surrogates"),
        (b'{"_id": "\\ud800", "text": ""}', "invalid_utf8", "the id is not Unicode text: surrogates"),
        (b'{"id": "\\udfff"}', "invalid_utf8", "the id is not Unicode text: surrogates"),
    ],
)
def test_a_line_that_is_no_document_becomes_a_dead_letter_that_says_why(line, kind, words):
    letter = parse(line)
    assert isinstance(letter, corpus.DeadLetter)
    assert (letter.row, letter.file, letter.line, letter.kind) == (7, "docs.jsonl", 2, kind)
    assert words in letter.reason
    assert letter.doc_id == ("docs.jsonl:2" if "the id" in letter.reason or b'"_id": "a"' not in line else "a")
    assert json.loads(letter.to_json())["kind"] == kind


def test_a_dead_letter_keeps_the_id_it_could_read_and_a_snippet():
    letter = parse(b'{"_id": "a", "text": 3}')
    assert (letter.doc_id, letter.snippet) == ("a", '{"_id": "a", "text": 3}')
    assert len(parse(b'{"text": "' + b"x" * 10_000).snippet) == 200


def test_a_text_line_is_the_document_itself():
    assert parse(b'{"not": "parsed"}\n', file=TEXT).text == '{"not": "parsed"}'
    assert parse(b"\xef\xbb\xbfhello", file=TEXT, number=1).text == "hello"
    assert parse(b" \n", file=TEXT).kind == "empty"


def test_files_are_matched_once_in_a_fixed_order_and_labelled_below_their_common_directory(tmp_path):
    for name in ("b/2.jsonl", "b/1.jsonl.gz", "a/x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    patterns = [str(tmp_path / "b" / "*"), str(tmp_path / "a" / "*.txt"), str(tmp_path / "b" / "2.jsonl")]
    files = corpus.match_files(patterns)
    assert [(file.label, file.format, file.compressed) for file in files] == [
        ("b/1.jsonl.gz", "jsonl", True),
        ("b/2.jsonl", "jsonl", False),
        ("a/x.txt", "text", False),
    ]
    assert corpus.match_files(patterns[2:], file_format="text")[0].format == "text"


def test_a_pattern_without_a_file_and_an_unknown_format_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no file matches .*nothing\.jsonl.*Check the path"):
        corpus.match_files([str(tmp_path / "nothing.jsonl")])
    with pytest.raises(ValueError, match="'csv' is unknown; choose one of auto, jsonl, text"):
        corpus.match_files([str(tmp_path)], file_format="csv")


@pytest.mark.parametrize(
    ("name", "file_format", "compressed"),
    [
        ("A.JSONL", "jsonl", False),
        ("a.Json.GZ", "jsonl", True),
        ("A.NDJSON", "jsonl", False),
        ("A.TXT.Gz", "text", True),
    ],
)
def test_endings_in_capitals_say_the_same(tmp_path, name, file_format, compressed):
    (tmp_path / name).write_bytes(b"")
    [file] = corpus.match_files([str(tmp_path / "*")])
    assert (file.format, file.compressed) == (file_format, compressed)


def test_one_local_file_by_several_paths_is_read_once(tmp_path, monkeypatch):
    (tmp_path / "ok.jsonl").write_bytes(b"")
    (tmp_path / "copy.jsonl").write_bytes(b"")
    (tmp_path / "z.jsonl").symlink_to("ok.jsonl")
    monkeypatch.chdir(tmp_path)
    patterns = ["ok.jsonl", "./ok.jsonl", str(tmp_path / "ok.jsonl"), "../*/ok.jsonl", "z.jsonl", "copy.jsonl"]
    assert [file.path for file in corpus.match_files(patterns)] == ["ok.jsonl", "copy.jsonl"]


@pytest.mark.parametrize(
    ("ending", "cure"),
    [
        *((ending, "Decompress it") for ending in (".jsonl.bz2", ".JSONL.XZ", ".zst", ".lz4")),
        *((ending, "Unpack it") for ending in (".zip", ".tar.gz", ".tgz", ".tar", ".7z")),
        *((ending, "Write its texts as JSON lines") for ending in (".parquet", ".Arrow", ".avro")),
    ],
)
@pytest.mark.parametrize("file_format", ["auto", "text"])
def test_an_ending_that_says_no_lines_is_refused(tmp_path, ending, cure, file_format):
    for name in ("a.jsonl", f"b{ending}"):
        (tmp_path / name).write_bytes(b"")
    words = rf"--corpus: \S+/b{ending}: by the ending, no lines of text.*nothing was written\. {cure}"
    with pytest.raises(ValueError, match=words):
        corpus.match_files([str(tmp_path / "*")], file_format=file_format)


def test_a_directory_is_refused(tmp_path):
    (tmp_path / "docs").mkdir()
    with pytest.raises(ValueError, match=r"/docs is a directory, .*Name those in it, such as '\S+/docs/\*\.jsonl'"):
        corpus.match_files([str(tmp_path / "docs")])


def test_of_many_strange_files_a_few_are_named(tmp_path):
    for number in range(7):
        (tmp_path / f"{number}.zip").write_bytes(b"")
    with pytest.raises(ValueError, match=r"/0\.zip, \S+/1\.zip, \S+/2\.zip and 4 more: by the ending"):
        corpus.match_files([str(tmp_path / "*")])


def test_a_name_that_cannot_be_stored_is_refused(tmp_path):
    (tmp_path / "b\udcff.jsonl").write_bytes(b"")
    with pytest.raises(ValueError, match=r"the name '.*\\udcff\.jsonl' is not UTF-8.*Rename the file"):
        corpus.match_files([str(tmp_path / "*")])
