"""The whole study on a tiny checkpoint and small vectors: what it writes, what it says, what it refuses."""

import html.parser
import json
import pathlib
import re

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from keytokens.pipelines import compare_words
from keytokens.pipelines.words import bats, material, scopes, similarity_sets, study, summary
from keytokens.pipelines.words.report import page
from keytokens.pipelines.words.vectors import Loaded, WordVectors
from tests import tiny_checkpoint

LISTED = [*tiny_checkpoint.WORDS[:24], "cat", "dogs"]


def write_bats(directory: pathlib.Path) -> pathlib.Path:
    """Forty categories of four pairs of listed words, in four folders; one has two answers, and CRLF ends."""
    for group in "IDEL":
        (directory / group).mkdir(parents=True)
        for number in range(1, 11):
            rng = np.random.default_rng([ord(group), number])
            words = rng.choice(tiny_checkpoint.WORDS[:24], 8, replace=False)
            lines = [f"{words[2 * i]}\t{words[2 * i + 1]}/unheard_of" for i in range(4)]
            end = "\r\n" if number == 2 else "\n"
            path = directory / group / f"{group}{number:02} [a - b].txt"
            path.write_bytes((end.join(lines) + end).encode())
    (directory / "metadata.json").write_text("{}")
    return directory


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("words")
    (directory / "words.txt").write_text("\n".join(LISTED) + "\n")
    write_bats(directory / "bats")
    (directory / "sets").mkdir()
    pairs = [(a, b, i / 3) for i, (a, b) in enumerate(zip(LISTED[:9], LISTED[5:14], strict=True))]
    (directory / "sets" / "small.txt").write_text(
        "".join(f"{a}\t{b}\t{c}\n" for a, b, c in [*pairs, ("Cat", "yak", 1)])
    )
    matrix = np.random.default_rng(0).normal(0.3, 1, (len(LISTED), 6))
    rows = [f"{word} {' '.join(f'{x:.6f}' for x in row)}\n" for word, row in zip(LISTED[:-1], matrix, strict=False)]
    (directory / "glove.txt").write_text("".join(rows))
    return directory


def flags_of(inputs: pathlib.Path, checkpoint: str, output: pathlib.Path, **changes):
    values = {
        "models": [f"tiny={checkpoint}", str(inputs / "glove.txt"), f"lookup={'lookup:' + checkpoint}"],
        "words": str(inputs / "words.txt"),
        "bats_dir": str(inputs / "bats"),
        "similarity": [str(inputs / "sets")],
        "output_dir": str(output),
        "random_pairs": 500,
        "neighbours": 3,
    }
    return flagsaver.flagsaver(**{**values, **changes})


class Page(html.parser.HTMLParser):
    """Open elements balance, ids are unique."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in ("meta", "br", "path", "use", "rect", "line", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        if tag not in ("path", "use", "rect", "line", "circle"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def output(inputs, checkpoint, tmp_path_factory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("out") / "new"
    with flags_of(inputs, checkpoint, directory, save_vectors=True):
        compare_words.main([])
    return directory


def test_json_holds_every_measurement(output):
    found = json.loads((output / "words.json").read_text("utf-8"))
    assert list(found["models"]) == ["tiny", "glove", "lookup"]
    assert (found["num_words"], found["num_common"], found["reference"]) == (26, 25, "tiny")
    for name, n in (("tiny", 26), ("glove", 25), ("lookup", 26)):
        model = found["models"][name]
        own, common = model["all_pairs"]["own"], model["all_pairs"]["common"]
        assert (own["num_words"], own["num_pairs"], common["num_pairs"]) == (n, n * (n - 1) // 2, 300)
        assert own["mean"] == pytest.approx(own["mean_closed_form"], abs=1e-3)
        assert own["std"] == pytest.approx(own["std_closed_form"], abs=1e-3)
        assert list(own["quantiles"].values()) == sorted(own["quantiles"].values())
        assert {kind: s["num_random"] for kind, s in model["separation"]["own"].items()} == {
            "semantic": 500,
            "morphological": 500,
        }
        assert len(model["analogies"]["own"]["categories"]) == 40
        assert all(c["questions"]["3CosAdd"] == 12 for c in model["analogies"]["own"]["categories"])
        assert all(c["questions"]["LRCos"] == 4 for c in model["analogies"]["own"]["categories"])
    assert found["models"]["tiny"]["sets"]["small"]["covered"] == 10, "every word has a vector in a text model"
    of_glove = found["models"]["glove"]["sets"]["small"]
    assert (of_glove["covered"], of_glove["total"], of_glove["covered_common"]) == (9, 10, 9)
    agreement = found["agreement"]
    assert np.diag(agreement["linear_cka"]) == pytest.approx(np.ones(3))
    for kind in ("random", "bats"):
        assert np.shape(agreement[kind]["spearman"]) == (3, 3)
        assert sorted(agreement[kind]["disagreements"]) == ["glove | lookup", "tiny | glove", "tiny | lookup"]
    claims = found["claims"]["glove"]
    assert claims["spearman_to_reference_bats"] == agreement["bats"]["spearman"][0][1]
    assert claims["bats_3cosadd"] == pytest.approx(
        np.mean([c["top1"]["3CosAdd"] for c in found["models"]["glove"]["analogies"]["common"]["categories"]])
    )


def test_histograms_and_neighbours_are_for_other_programs(output):
    with np.load(output / "all_pairs.npz", allow_pickle=False) as arrays:
        assert arrays["edges"].shape == (2001,)
        assert arrays["tiny (own)"].sum() == 26 * 25 // 2 and arrays["glove (common)"].sum() == 300
    with np.load(output / "glove.neighbours.npz", allow_pickle=False) as arrays:
        assert arrays["words"].tolist() == LISTED[:-1] and arrays["rows"].shape == (25, 3)
        assert (arrays["rows"] != np.arange(25)[:, None]).all(), "no word is its own neighbour"
        assert (np.diff(arrays["cosines"], axis=1) <= 0).all()


def test_the_report_is_a_page(output):
    text = (output / "report.html").read_text("utf-8")
    page = Page()
    page.feed(text)
    assert page.open == [] and len(page.ids) == len(set(page.ids))
    assert "<script" not in text and "http://" not in text.replace("http://www.w3.org", "")
    shown = " ".join(page.text)
    for words in ("LLMs cluster semantically related words more tightly", "cat", "I02 a - b", "small", "glove"):
        assert words in shown
    assert "nan" not in shown
    pictures = {path.stem for path in output.glob("*.svg")}
    assert pictures == {path.stem for path in output.glob("*.png")}
    assert pictures == {
        *("all_pairs", "all_pairs_common", "related_1", "related_2", "related_3"),
        *("analogies_own", "analogies_own_groups", "analogies_common", "analogies_common_groups"),
        *("agreement_random", "agreement_bats", "agreement_cka"),
    }


def test_saved_vectors_give_the_same_study(inputs, checkpoint, output, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(page, "write_report", lambda *_: None)  # whose figures take two seconds
    again = [f"tiny={output}/tiny.npy@{output}/tiny.words.txt", str(inputs / "glove.txt")]
    with flags_of(inputs, checkpoint, tmp_path, models=again, neighbours=0, vocabulary="common", reference="glove"):
        compare_words.main([])
    first, second = (json.loads((path / "words.json").read_text())["models"]["tiny"] for path in (output, tmp_path))
    assert second["all_pairs"]["own"]["mean"] == first["all_pairs"]["own"]["mean"]
    assert second["sets"]["small"]["spearman"] == pytest.approx(first["sets"]["small"]["spearman"], abs=1e-6)
    assert second["analogies"]["common"]["num_candidates"] == 25, "of the 26, glove has no dogs"
    assert not list(tmp_path.glob("*.neighbours.npz"))
    out = capsys.readouterr().out
    assert "rho to glove" in out and "common words: 25 of 26" in out


def test_the_list_alone_is_enough(inputs, checkpoint, tmp_path):
    one = [str(inputs / "glove.txt")]
    with flags_of(inputs, checkpoint, tmp_path, models=one, bats_dir=None, similarity=[]):
        compare_words.main([])
    found = json.loads((tmp_path / "words.json").read_text())
    assert found["models"]["glove"]["analogies"] == {} and found["models"]["glove"]["separation"]["own"] == {}
    text = (tmp_path / "report.html").read_text("utf-8")
    assert 'id="analogies"' not in text and 'id="agreement"' not in text and 'id="all-pairs"' in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": "absent.txt"}, "absent.txt: no such word list"),
        ({"bats_dir": "absent"}, "absent is no directory"),
        ({"similarity": ["absent.txt"]}, "absent.txt: no such word list"),
        ({"vocabulary": "absent.txt"}, "absent.txt: no such word list"),
        ({"models": ["absent.txt"]}, "absent.txt: no such file"),
        ({"reference": "other"}, "--reference=other is no model of this study; its models are tiny, glove, lookup"),
    ],
)
def test_what_is_not_there_is_said_before_anything_is_computed(changes, message, inputs, checkpoint, tmp_path):
    with (
        flags_of(inputs, checkpoint, tmp_path / "never", **changes),
        pytest.raises(ValueError, match=re.escape(message)),
    ):
        compare_words.main([])
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(("first", "second"), [("a b", "a-b"), ("Glove", "glove"), ("x_$", "x_%")])
def test_labels_whose_files_would_replace_each_other_are_refused(first, second, inputs, checkpoint, tmp_path):
    models = [f"{label}={inputs / 'glove.txt'}" for label in (first, second)]
    with (
        flags_of(inputs, checkpoint, tmp_path / "never", models=models),
        pytest.raises(ValueError, match=re.escape(f"{first!r}, {second!r} are all {summary.file_name(second)}.")),
    ):
        compare_words.main([])
    assert not (tmp_path / "never").exists()


def test_a_label_with_dollar_signs_is_shown_as_it_is(inputs, checkpoint, tmp_path):
    """To matplotlib two of them enclose a formula, and what stands between them need not be one."""
    models = [f"{label}={inputs / 'glove.txt'}" for label in ("$x_$", "b^$$")]
    with flags_of(inputs, checkpoint, tmp_path, models=models, neighbours=0):
        compare_words.main([])
    assert "$x_$" in (tmp_path / "all_pairs.svg").read_text("utf-8")
    for name in ("related_1", "agreement_cka"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "Related and random pairs, $x_$<" in (tmp_path / "report.html").read_text("utf-8")


def test_a_seed_below_zero_is_no_seed():
    with flagsaver.flagsaver(), pytest.raises(flags.IllegalFlagValueError, match="random_seed"):
        flags.FLAGS.random_seed = -1


def test_bats_is_whole_or_refused(tmp_path):
    directory = write_bats(tmp_path / "bats")
    categories = bats.read_bats(str(directory))
    assert [each.code for each in categories] == [f"{g}{n:02}" for g in "IDEL" for n in range(1, 11)]
    assert categories[1].answers[0][1] == "unheard_of" and categories[1].words[0].isalpha(), "CRLF"
    assert {each.group for each in categories} == set(bats.GROUPS.values())
    path = directory / "E" / "E03 [a - b].txt"
    path.write_text("the\tof\nnotab\n")
    with pytest.raises(ValueError, match=r"E03.*line 2: 'notab' is no pair"):
        bats.read_bats(str(directory))
    path.rename(directory / "I" / "E03 [moved].txt").write_text("the\tof\n")
    (directory / "L" / "L10 [a - b].txt").unlink()
    (directory / "L" / "L09 [a - b].txt").unlink()
    with pytest.raises(ValueError, match=r"no category L09, L10 \(38 of 40"):
        bats.read_bats(str(directory))
    (directory / "L" / "E03 [twice].txt").write_text("the\tof\n")
    with pytest.raises(ValueError, match="both category E03"):
        bats.read_bats(str(directory))


def test_scored_pairs_are_two_words_and_a_number(tmp_path):
    (tmp_path / "a.txt").write_text("cat dog 1\ncat\tyak\t2e0\n")
    [found] = similarity_sets.read_similarity_sets([str(tmp_path / "a.txt")])
    assert (found.name, found.left, found.right, found.scores) == ("a", ("cat", "cat"), ("dog", "yak"), (1.0, 2.0))
    for line in ("cat dog", "cat dog x", "cat dog nan", "a b c 1"):
        (tmp_path / "a.txt").write_text(f"cat dog 1\n{line}\n")
        with pytest.raises(ValueError, match="line 2"):
            similarity_sets.read_similarity_sets([str(tmp_path)])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no \.txt file"):
        similarity_sets.read_similarity_sets([str(tmp_path / "empty")])


def test_scopes_by_hand():
    def model(name, words):
        return WordVectors(name, "precomputed", Loaded(words, np.eye(len(words), 4, dtype=np.float32) + 0.1))

    category = bats.Category("E01", "x", ("a", "c"), (("b", "d"), ("d",)))
    listed = material.Material(words=["a", "b", "C"], categories=[category], num_random=50)
    common, each = scopes.scopes_of([model("first", ["a", "b", "c", "d"]), model("second", ["a", "b", "c"])], listed)
    assert common.words == ["a", "b", "C"], "C is found in lower case"
    assert common.pairs["semantic"] == [("a", "b")] and common.pairs["morphological"] == []
    assert each[0]["own"].pairs["semantic"] == [("a", "b"), ("c", "d")]
    assert each[0]["own"].candidates == ["a", "b", "C", "d", "c"] and common.candidates == ["a", "b", "C", "c"]
    assert len(common.pairs["random"]) == 50 and all(a != b for a, b in common.pairs["random"])
    with pytest.raises(ValueError, match=r"1 of the 3 listed words .*first: 1, second: 3"):
        study.run_study([model("first", ["b"]), model("second", ["a", "b", "c"])], listed)
