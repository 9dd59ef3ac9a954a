"""Word vectors of every format: read back as written; files that lie are refused with what is wrong and where."""

import gzip
import pathlib

import numpy as np
import pytest
import safetensors.numpy
import tensorstore as ts

from keytokens import models
from keytokens.pipelines.words import sources, text_vectors, word2vec_binary
from keytokens.pipelines.words.vectors import Loaded, WordVectors

WORDS = ["the", "été", "living_thing", "paris", "1999"]
MATRIX = np.random.default_rng(0).normal(0, 1, (5, 3)).astype(np.float32)


def lines(words=WORDS, matrix=MATRIX) -> str:
    return "".join(
        f"{word} {' '.join(map(repr, row))}\n" for word, row in zip(words, np.float32(matrix).tolist(), strict=True)
    )


def binary(words=WORDS, matrix=MATRIX, *, header=None, newline=b"\n") -> bytes:
    rows = [
        word.encode() + b" " + row.astype("<f4").tobytes() + newline for word, row in zip(words, matrix, strict=True)
    ]
    return (header or f"{len(words)} {matrix.shape[1]}\n".encode()) + b"".join(rows)


def write(path: pathlib.Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def every_format(directory: pathlib.Path) -> dict[str, str]:
    """Name of the format -> an item of --models."""
    words = write(directory / "words.txt", "\n".join(WORDS) + "\n")
    np.save(directory / "a.npy", MATRIX)
    np.save(directory / "half.npy", MATRIX.astype(np.float16))
    safetensors.numpy.save_file({"vectors": MATRIX}, directory / "one.safetensors")
    safetensors.numpy.save_file({"vectors": MATRIX, "other": MATRIX[:2]}, directory / "two.safetensors")
    for driver in ("zarr3", "zarr"):
        array = ts.open(
            {"driver": driver, "kvstore": {"driver": "file", "path": str(directory / driver)}},
            create=True,
            dtype=ts.float32,
            shape=MATRIX.shape,
        ).result()
        array.write(MATRIX).result()
    return {
        "GloVe": write(directory / "glove.txt", lines()),
        "GloVe, gzipped": write(directory / "glove.txt.gz", gzip.compress(lines().encode())),
        "word2vec text": write(directory / "w2v.txt", "5 3\n" + lines()),
        "fastText, trailing spaces": write(directory / "fast.vec", "5 3\n" + lines().replace("\n", " \n")),
        "CRLF": write(directory / "crlf.txt", lines().replace("\n", "\r\n")),
        "word2vec binary": write(directory / "w2v.bin", binary()),
        "word2vec binary, no newlines": write(directory / "flat.bin", binary(newline=b"")),
        "word2vec binary, gzipped": write(directory / "w2v.bin.gz", gzip.compress(binary())),
        "npy": f"{directory}/a.npy@{words}",
        "npy, float16": f"{directory}/half.npy@{words}",
        "safetensors": f"{directory}/one.safetensors@{words}",
        "safetensors, one of two": f"{directory}/two.safetensors#vectors@{words}",
        "TensorStore zarr3": f"{directory}/zarr3@{words}",
        "TensorStore zarr2": f"{directory}/zarr@{words}",
        "TensorStore URL": f"file://{directory}/zarr3/@{words}",
    }


FORMATS = [
    *("GloVe", "GloVe, gzipped", "word2vec text", "fastText, trailing spaces", "CRLF", "word2vec binary"),
    *("word2vec binary, no newlines", "word2vec binary, gzipped", "npy", "npy, float16", "safetensors"),
    *("safetensors, one of two", "TensorStore zarr3", "TensorStore zarr2", "TensorStore URL"),
]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read(name, tmp_path):
    source = sources.parse_source(every_format(tmp_path)[name])
    found = sources.load_source(source, [*WORDS, "absent"])
    assert sorted(found.words) == sorted(WORDS) and found.kind == "precomputed"
    expected = MATRIX / np.linalg.norm(MATRIX, axis=1, keepdims=True)
    tolerance = 1e-3 if "16" in name else 1e-6
    np.testing.assert_allclose(found.unit[found.rows(WORDS)], expected, atol=tolerance)


def test_all_formats_are_listed(tmp_path):
    assert list(every_format(tmp_path)) == FORMATS


def test_lower_case_is_the_fallback_and_the_rest_is_out_of_vocabulary():
    vectors = WordVectors("a", "precomputed", Loaded(["paris", "Rome", "x"], MATRIX[:3]))
    assert vectors.rows(["Paris", "PARIS", "Rome", "rome", "y"]).tolist() == [0, 0, 1, -1, -1]
    assert np.isnan(vectors.cosines(["Paris", "paris"], ["y", "paris"])).tolist() == [True, False]


def test_vectors_without_a_direction_are_counted_out():
    matrix = np.array([[0, 0], [np.nan, 1], [np.inf, 1], [3e38, 3e38], [1e-40, 0]], np.float32)
    vectors = WordVectors("a", "precomputed", Loaded(list("abcde"), matrix, {"repeated word": 2}))
    assert vectors.words == ["d", "e"]
    np.testing.assert_allclose(np.linalg.norm(vectors.unit, axis=1), 1, rtol=1e-6)
    assert vectors.skipped == {"repeated word": 2, "not finite": 2, "zero vector": 1}


def test_a_word_may_hold_spaces_stand_twice_or_be_no_utf8(tmp_path):
    content = b". . . 1 2\nb 3 4\nb 5 6\n\xff\xfe 7 8\n"
    found = text_vectors.read_text_vectors(write(tmp_path / "x.txt", content.replace(b". . .", b"c", 1)))
    assert found.words == ["c", "b"] and found.skipped == {"repeated word": 1, "word not UTF-8": 1}
    spaced = write(tmp_path / "y.txt", b"a 1 2\n. . . 3 4\n\xc2\xa0 5 6\n")
    assert text_vectors.read_text_vectors(spaced).words == ["a", ". . .", "\xa0"]
    assert found.matrix[1].tolist() == [3, 4], "the first of two"


def test_only_wanted_words_are_kept(tmp_path):
    for read, name, content in (
        (text_vectors.read_text_vectors, "a.txt", lines()),
        (word2vec_binary.read_word2vec_binary, "a.bin", binary()),
    ):
        found = read(write(tmp_path / name, content), wanted={"paris", "absent"})
        assert found.words == ["paris"]
        np.testing.assert_allclose(found.matrix, MATRIX[3:4])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"", "empty"),
        ("prose.txt", "once upon a time\n", "could not convert"),
        ("short.txt", "a 1 2 3\nthe 1 2\n", "line 2: 2 numbers where 3"),
        ("cut.vec", "9 3\n" + lines(), "announces 9 words and holds 5"),
        ("words.txt", "a\nthe\n", "line 1: 'a' holds no word with numbers"),
        ("tab.txt", "the\t1\t2\n", "separated by single spaces"),
        ("long.txt", b"x" * (1 << 20), "longer than"),
        ("bad.txt.gz", b"no gzip", "damaged gzip"),
        ("cut.txt.gz", gzip.compress(lines().encode() * 50, mtime=0)[:-20], "damaged gzip"),
        ("empty.bin", b"", "begins with b''"),
        ("fasttext.bin", b"\xba\x16\x4f\x2f\x0c\x00", "another format"),
        ("cut.bin", binary()[:-9], "ends inside its vector"),
        ("more.bin", binary(header=b"4 3\n"), "goes on after the 4 words"),
        ("huge.bin", b"5 2000000000\n" + b"a" * 30, "2,000,000,000 dimensions"),
        ("count.bin", b"99999999999 3\n" + b"the " + bytes(12), "word 2 of 99,999,999,999|no space within"),
        ("letters.bin", b"1 3\n" + b"a" * 5000, "no space within"),
        ("cut.bin.gz", gzip.compress(binary() * 20, mtime=0)[:-20], "goes on after|damaged gzip"),
    ],
)
def test_a_file_that_lies_is_refused(name, content, message, tmp_path):
    source = sources.parse_source(write(tmp_path / name, content))
    with pytest.raises(ValueError, match=message) as caught:
        sources.load_source(source, ["a", "the", "once", "paris"])
    assert name in str(caught.value)


def test_an_array_that_does_not_fit_its_words_is_refused(tmp_path):
    words = write(tmp_path / "words.txt", "a\nb\n")
    np.save(tmp_path / "three.npy", np.ones((3, 2), np.float32))
    np.save(tmp_path / "flat.npy", np.ones(2, np.float32))
    np.save(tmp_path / "whole.npy", np.ones((2, 2), np.int64))
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}, 2], object), allow_pickle=True)
    write(tmp_path / "junk.npy", b"junk")
    write(tmp_path / "junk.safetensors", b"junk" * 9)
    safetensors.numpy.save_file({"x": MATRIX, "y": MATRIX}, tmp_path / "two.safetensors")
    (tmp_path / "group").mkdir()
    for item, message in (
        ("three.npy", "3 rows and .* 2 words"),
        ("flat.npy", r"float32 \(2,\)"),
        ("whole.npy", "int64"),
        ("pickle.npy", "cannot be read as .npy"),
        ("junk.npy", "cannot be read as .npy"),
        ("junk.safetensors", "cannot be read as safetensors"),
        ("two.safetensors", "2 tensors .x, y.: name one"),
        ("two.safetensors#z", "no tensor 'z'"),
        ("group", "no array that TensorStore opens"),
    ):
        with pytest.raises(ValueError, match=message):
            sources.load_source(sources.parse_source(f"{tmp_path}/{item}@{words}"), ["a"])
    write(tmp_path / "gap.txt", "a\n\nb\n")
    with pytest.raises(ValueError, match=r"gap.txt, line 2 is blank"):
        sources.load_source(sources.parse_source(f"{tmp_path}/three.npy@{tmp_path}/gap.txt"), ["a"])


def test_items_that_name_nothing_are_refused(tmp_path):
    for item, message in (
        (f"{tmp_path}/absent.txt", "no such file"),
        (f"{tmp_path}/absent.npy@{tmp_path}/words", "no such file"),
        (f"{tmp_path}/a.npy", "give their list behind an @"),
        ("no-such-model", "no-such-model"),
    ):
        with pytest.raises(ValueError, match=message):
            sources.parse_source(item)
    glove = write(tmp_path / "glove.txt", lines())
    with pytest.raises(ValueError, match="names glove twice"):
        sources.parse_sources([glove, glove])
    assert [source.label for source in sources.parse_sources([glove, f"other={glove}"])] == ["glove", "other"]
    with pytest.raises(ValueError, match="none of the 1 words"):
        sources.load_source(sources.parse_source(glove), ["absent"])


def test_our_model_embeds_words_as_texts_and_as_input_embeddings(checkpoint):
    from keytokens.pipelines import encoder

    words = ["wing", "heat_flow", "Wing", "\u3042", "supersonic", "x" * 200]
    found = sources.load_source(sources.parse_source(f"tiny={checkpoint}"), words)
    # The tiny tokenizer knows no piece of the hiragana, and cuts what is longer than 100 letters to [UNK].
    assert found.words == ["wing", "heat_flow", "Wing", "supersonic"] and found.kind == "one-word text"
    assert found.skipped == {"unknown to its tokenizer": 2}
    loaded = encoder.Encoder(models.read_embedder(checkpoint))
    expected = loaded.embed([word.replace("_", " ") for word in found.words]).hidden
    np.testing.assert_allclose(
        found.unit, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5
    )  # another padded shape: other last bits
    lookup = sources.load_source(sources.parse_source(f"lookup:{checkpoint}"), words)
    assert lookup.kind == "input embeddings" and lookup.name.endswith(" input")
    table = np.asarray(loaded.embedder.params["body"]["embed"]["weight"])
    rows = [loaded.embedder.token_strings.index(piece) for piece in ("heat", "flow")]
    mean = table[rows].mean(0)
    np.testing.assert_allclose(lookup.unit[lookup.row("heat_flow")], mean / np.linalg.norm(mean), atol=1e-6)


def test_saved_vectors_are_read_back(tmp_path):
    vectors = WordVectors("a", "precomputed", Loaded(WORDS, MATRIX))
    sources.save_vectors(tmp_path / "a", vectors)
    again = sources.load_source(sources.parse_source(f"{tmp_path}/a.npy@{tmp_path}/a.words.txt"), WORDS)
    assert again.words == WORDS
    np.testing.assert_allclose(again.unit, vectors.unit, atol=1e-6)
