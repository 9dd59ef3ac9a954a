"""Rows are numbered exactly, whatever the files look like, and read back from the planned bytes."""

import bz2
import gzip
import hashlib
import lzma

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keytokens.pipelines import corpus, plan, reading


def write(directory, name: str, content: bytes) -> corpus.CorpusFile:
    path = directory / name
    path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    return corpus.CorpusFile(str(path), name, "text")


def lines_of(content: bytes) -> list[bytes]:
    """The definition of a row: what stands before each newline, and a rest that has none."""
    return [line + b"\n" for line in content.split(b"\n")[:-1]] + [rest for rest in content.split(b"\n")[-1:] if rest]


# Lines that are empty, blank, long, not UTF-8, with carriage returns; files with and without a last newline.
LINES = st.lists(st.sampled_from([b"", b" ", b"a", b"b" * 300, b"c\r", b"\xff", "é".encode()]), max_size=12)
FILES = st.lists(st.tuples(LINES, st.booleans(), st.booleans()), min_size=1, max_size=4)


@given(files=FILES, unit_rows=st.integers(1, 7), block=st.sampled_from([1, 5, 64]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_line_is_one_row_of_one_unit(tmp_path, monkeypatch, files, unit_rows, block):
    monkeypatch.setattr(plan, "_BLOCK_BYTES", block)
    contents = [b"\n".join(lines) + b"\n" * (newline and bool(lines)) for lines, newline, _ in files]
    corpus_files = [
        write(tmp_path, f"{i}.txt{'.gz' * zipped}", content)
        for i, (content, (*_, zipped)) in enumerate(zip(contents, files, strict=True))
    ]
    planned = plan.plan_units(corpus_files, unit_rows)

    expected = [(file.label, n, line) for file, c in zip(corpus_files, contents, strict=True)
                for n, line in enumerate(lines_of(c), start=1)]  # fmt: skip
    assert planned.num_rows == len(expected)
    assert [f.num_rows for f in planned.files] == [len(lines_of(c)) for c in contents]
    read = [row for unit in planned.units for row in reading.read_unit(unit)]
    assert [(r.row, r.file, r.line) for r in read] == [(i, label, n) for i, (label, n, _) in enumerate(expected)]
    for row, (*_, line) in zip(read, expected, strict=True):
        assert isinstance(row, corpus.DeadLetter) or row.text == line.rstrip(b"\r\n").decode()
    for unit in planned.units[:-1]:
        assert (unit.row0, unit.row1) == (unit.index * unit_rows, (unit.index + 1) * unit_rows)
    assert sum(s.num_rows for unit in planned.units for s in unit.segments) == len(expected)


def test_digests_are_of_the_stored_bytes_and_do_not_depend_on_where_files_lie(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (plan.plan_units([write(tmp_path / d, "x.txt.gz", b"one\ntwo")], 10) for d in ("a", "b"))
    assert first.files[0].sha256 == hashlib.sha256((tmp_path / "a" / "x.txt.gz").read_bytes()).hexdigest()
    assert first.corpus_sha256 == second.corpus_sha256
    assert first.corpus_sha256 != plan.plan_units([write(tmp_path, "x.txt.gz", b"one\ntwo\n")], 10).corpus_sha256


@pytest.mark.parametrize("change", [b"one\ntwo\nthr33\n", b"one\ntwo\n", b"one\n\ntwo\nthree\n"])
def test_a_file_that_changed_after_planning_is_noticed(tmp_path, change):
    file = write(tmp_path, "x.txt", b"one\ntwo\nthree\n")
    planned = plan.plan_units([file], 100)
    (tmp_path / "x.txt").write_bytes(change)
    with pytest.raises(reading.CorpusChangedError, match=r"x\.txt, lines 1 to 3: the bytes differ"):
        list(reading.read_unit(planned.units[0]))


def test_a_damaged_gzip_is_refused_before_any_work(tmp_path):
    file = write(tmp_path, "x.txt.gz", b"line\n" * 10_000)
    (tmp_path / "x.txt.gz").write_bytes((tmp_path / "x.txt.gz").read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"x\.txt\.gz cannot be read to its end .*nothing was written"):
        plan.plan_units([file], 10)


def test_no_line_is_no_unit(tmp_path):
    planned = plan.plan_units([write(tmp_path, "x.txt", b"")], 10)
    assert (planned.num_rows, planned.units) == (0, ())


LINES_OF_JSON = b'{"text": "a"}\n' * 5


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.jsonl", gzip.compress(LINES_OF_JSON, mtime=0), "compressed by gzip, .*Give it an ending of .gz"),
        (
            "x.jsonl.gz",
            gzip.compress(gzip.compress(LINES_OF_JSON, mtime=0), mtime=0),
            "compressed by gzip once more, .*Decompress it",
        ),
        ("x.txt", bz2.compress(LINES_OF_JSON), "compressed by bzip2, .*Decompress it"),
        ("x.txt", lzma.compress(LINES_OF_JSON), "compressed by xz, "),
        ("x.txt", b"\x28\xb5\x2f\xfd and so on", "compressed by zstd, "),
        ("x.txt", b"PK\x03\x04 and so on", "compressed by zip, "),
        ("x.txt", "a text\n".encode("utf-16"), "is UTF-16 by its first two bytes, .*iconv"),
        ("x.jsonl.gz", gzip.compress(b"\xfe\xff\x00{\x00}", mtime=0), "is UTF-16"),
        ("x.json", b'[\n {"text": "a"}\n]\n', r"x\.json is one JSON array, .*jq -c '\.\[\]' FILE"),
        ("x.JSON", b'\xef\xbb\xbf\n[{"text": "a"}]', "is one JSON array"),
        ("x.json.gz", gzip.compress(b'[{"text": "a"}]', mtime=0), "is one JSON array"),
    ],
)
def test_a_file_that_is_no_lines_is_refused_by_its_first_bytes(tmp_path, name, content, words):
    (tmp_path / "a.jsonl").write_bytes(LINES_OF_JSON)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"--corpus: .*{words}"):
        plan.plan_units(corpus.match_files([str(tmp_path / "*")]), 10)


@pytest.mark.parametrize(
    ("name", "content", "file_format"),
    [
        ("x.jsonl", b"[1, 2]\n" + LINES_OF_JSON, "auto"),  # a dead letter and five documents
        ("x.json", LINES_OF_JSON, "auto"),
        ("x.json", b"[a text, by the option]\n", "text"),
        ("x.txt", b"BZh9 is what a bzip2 file begins with\nPAR1 is a gene\nPK\n", "auto"),
    ],
)
def test_lines_that_look_strange_are_lines(tmp_path, name, content, file_format):
    (tmp_path / name).write_bytes(content)
    planned = plan.plan_units(corpus.match_files([str(tmp_path / name)], file_format=file_format), 10)
    assert planned.num_rows == content.count(b"\n")


def gone(path) -> None:
    path.unlink()


def cut(path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def damaged(path) -> None:
    content = bytearray(path.read_bytes())
    content[15:40] = b"\xff" * 25
    path.write_bytes(content)


def plain(path) -> None:
    path.write_bytes(gzip.decompress(path.read_bytes()))


@pytest.mark.parametrize("fault", [gone, cut, damaged, plain])
def test_a_file_that_cannot_be_read_after_planning_is_named_with_its_lines(tmp_path, fault):
    lines = [hashlib.sha256(bytes([i])).hexdigest() for i in range(90)]  # which do not compress away
    file = write(tmp_path, "x.txt.gz", "\n".join(lines).encode())
    planned = plan.plan_units([file], 40)
    fault(tmp_path / "x.txt.gz")
    words = r"x\.txt\.gz, lines 81 to 90 cannot be read any more \(.+\), .*finished units are safe\. Put the file back"
    with pytest.raises(reading.CorpusUnreadableError, match=words):
        list(reading.read_unit(planned.units[2]))
