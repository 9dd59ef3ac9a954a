"""explain_text, explain_pair, explain_instruction: right numbers, clean terminals, pages that hold text as text."""

import dataclasses
import json

import numpy as np
import pytest
from absl.testing import flagsaver

from keytokens import models
from keytokens.pipelines import encoder, explain_instruction, explain_pair, explain_text, tables
from keytokens.pipelines.explain import colour, instruction, pair, scored_pairs
from keytokens.pipelines.explain import text as explain_texts
from tests import tiny_checkpoint
from tests.pipelines.report_test import Page

HOSTILE = 'the <script>alert("x")</script> wing \x1b[31m & "heat"'


@pytest.fixture(scope="module")
def config(checkpoint) -> models.EmbedderConfig:
    return models.read_embedder(checkpoint)


def test_a_terminal_shows_every_text_in_columns(config):
    found = explain_texts.explain(config, ["the wing in supersonic flow", HOSTILE], k=6)
    plain = explain_texts.render(found, on=False)
    assert "\x1b" not in plain and "text 1: " in plain
    rows = [line for line in plain.splitlines() if line.startswith("    ")]
    assert len(rows) == 12
    logits = [line.rindex(f"{token.weight:8.3f}") for line, token in zip(rows, found[0].key_tokens, strict=False)]
    assert len(set(logits)) == 1, "logits stand under each other"
    coloured = explain_texts.render(found, on=True)
    assert "\x1b[31m" not in coloured.replace("\x1b[1;33m", ""), "an escape in a text is not obeyed"
    assert coloured.count("\x1b[") % 2 == 0


def test_wide_characters_take_two_columns():
    assert [tables.width_of(text) for text in ("ab", "日本", "e\u0301")] == [2, 4, 1]
    assert tables.padded("日", 4) == "日  " and tables.padded("a", 3, right=True) == "  a"
    assert tables.aligned(["x", "yy"], [["日本", "1"]]) == "x     yy\n日本   1"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False)],
)
def test_colour_is_for_terminals(monkeypatch, capsys, environment, expected):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert colour.wanted() is expected


def test_a_pair_is_an_exact_sum(config):
    found = pair.explain(config, "the wing in supersonic flow", "supersonic flow of air past a cone", k=10)
    loaded = encoder.shared_encoder(config)
    a, b = loaded.embed([one.text for one in found.texts]).hidden.astype(np.float64)
    assert found.similarity == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-6)
    assert found.exact and found.why_not_exact == ""
    parts = sum(one.share for one in (*found.shared, *found.single)) + found.remainder
    assert parts == pytest.approx(found.similarity, abs=1e-9)
    ids = [{token.token_id for token in one.key_tokens} for one in found.texts]
    assert {one.token_id for one in found.shared} == ids[0] & ids[1]
    assert {one.token_id for one in found.single} == ids[0] ^ ids[1]
    assert found.jaccard == pytest.approx(len(ids[0] & ids[1]) / len(ids[0] | ids[1]))
    text = pair.render(found, on=False)
    assert "the cosine as an exact sum:" in text and "what no key token says" in text


def test_a_head_that_is_not_linear_is_approximate_and_says_so(tmp_path):
    masked = models.read_embedder(str(tiny_checkpoint.write_masked_language_model(tmp_path / "mlm")))
    found = pair.explain(masked, "the wing", "a jet of air", k=5)
    assert not found.exact and "transforms embeddings before the vocabulary" in found.why_not_exact
    assert "approximate: the head transforms" in pair.render(found, on=False)
    parts = sum(one.share for one in (*found.shared, *found.single)) + found.remainder
    assert parts == pytest.approx(found.similarity, abs=1e-9)


def test_an_instruction_takes_the_place_the_recipe_has_for_it_or_stands_before_the_text(config):
    followed = dataclasses.replace(config.recipe, instruction="Instruct: {instruction} Query: ")
    assert instruction.instructed(followed, "flow").prompt == "Instruct: flow Query: "
    assert instruction.instructed(config.recipe, "flow").prompt == "flow "
    assert instruction.instructed(dataclasses.replace(config.recipe, prompt="p: "), "flow").prompt == "flow p: "


def test_an_instruction_moves_tokens_as_embedding_with_its_prompt_does(config):
    found = instruction.explain(config, "the wing", ["heat transfer", "a jet"], k=5)
    assert [one.instruction for one in found.variants] == ["", "heat transfer", "a jet"] and not found.trained
    prompted = models.read_embedder(config.directory, prompt="heat transfer ")
    [expected] = explain_texts.explain(prompted, ["the wing"], k=5)
    assert found.variants[1].example.key_tokens == expected.key_tokens
    logits = [
        instruction.unit_logits(loaded, loaded.embed(["the wing"]).hidden)[0]
        for loaded in map(encoder.shared_encoder, (config, prompted))
    ]
    best = np.argsort(logits[0] - logits[1], kind="stable")[:8]
    assert [one.token_id for one in found.variants[1].risen] == best.tolist()
    assert found.variants[1].risen[0].after - found.variants[1].risen[0].before == pytest.approx(
        (logits[1] - logits[0]).max(), abs=1e-6
    )
    assert "this embedder was not trained on instructions" in instruction.render(found, on=False)


def test_scored_pairs_are_read_with_or_without_a_header_and_mistakes_are_placed(tmp_path):
    file = tmp_path / "sick.txt"
    file.write_text("id\ta\tb\tscore\n1\tone\ttwo\t3.5\n2\tthree\tfour\t1\n3\tfive\tsix\t2\r\n\n")
    found = scored_pairs.read(str(file), (2, 3, 4))
    assert found.first == ("one", "three", "five") and found.gold.tolist() == [3.5, 1.0, 2.0] and found.name == "sick"
    file.write_text("a\tb\t1\nc\td\tx\n")
    with pytest.raises(ValueError, match=r"line 2: 'c\\td\\tx' has no texts and score in the columns 1,2,3"):
        scored_pairs.read(str(file), (1, 2, 3))
    file.write_text("a\tb\t1\n \td\t2\n")
    with pytest.raises(ValueError, match="line 2: a text is empty"):
        scored_pairs.read(str(file), (1, 2, 3))
    file.write_text("a\tb\t1\n")
    with pytest.raises(ValueError, match="1 scored pairs; a rank correlation needs three"):
        scored_pairs.read(str(file), (1, 2, 3))
    with pytest.raises(ValueError, match="no such file"):
        scored_pairs.read(str(tmp_path / "none"), (1, 2, 3))
    with pytest.raises(ValueError, match="three numbers from 1"):
        scored_pairs.read(str(file), (0, 1, 2))


def test_agreement_embeds_each_text_once_and_finds_equal_texts_closest(config):
    texts = ["the wing", "heat transfer", "a jet of air", "a cone"]
    pairs = [(a, b) for a in texts for b in texts]
    gold = np.array([float(a == b) for a, b in pairs])
    sides = tuple(zip(*pairs, strict=True))
    found = scored_pairs.agreement(config, scored_pairs.ScoredPairs("same", sides[0], sides[1], gold), k=8)
    assert found.cosine.count == 16
    for one in (found.cosine, found.overlap, found.weighted_overlap):
        assert one.estimate > 0.6, "texts are most like themselves; ties of gold bound the correlation"


def test_the_programs_write_json_and_pages_in_which_text_stays_text(checkpoint, tmp_path, capsys):
    scores = tmp_path / "s.tsv"
    scores.write_text("the wing\ta cone\t1\nheat\theat\t5\na jet\tair\t3\n")
    common = {"model": checkpoint, "k": 4}
    runs = {
        explain_text: {"text": ["the wing", HOSTILE]},
        explain_pair: {"text": ["the wing"], "other": HOSTILE, "scored_pairs": [str(scores)]},
        explain_instruction: {"text": [HOSTILE], "instruction": ["heat & <b>", "a jet"]},
    }
    for program, options in runs.items():
        html, output = tmp_path / f"{program.__name__}.html", tmp_path / f"{program.__name__}.json"
        with flagsaver.flagsaver(**common, **options, html=str(html), output=str(output)):
            program.main([])
        assert "\x1b" not in capsys.readouterr().out
        source = html.read_text("utf-8")
        page = Page(source)
        assert "<script>alert" not in source and not page.find("b")
        [(_, body)] = page.find("body")
        assert '<script>alert("x")</script>' in body
        assert json.loads(output.read_text("utf-8"))
    found = json.loads((tmp_path / f"{explain_pair.__name__}.json").read_text("utf-8"))
    assert found["scored_pairs"][0]["name"] == "s" and len(found["pair"]["texts"]) == 2


@pytest.mark.parametrize(
    ("program", "options", "message"),
    [
        (explain_pair, {"text": ["a"]}, "a pair is one --text and one --other"),
        (explain_pair, {"text": ["a"], "other": " "}, "--other number 1 is empty"),
        (explain_pair, {"text": ["a"], "other": "b", "pair_columns": ["x"]}, "--pair_columns=x must be numbers"),
        (explain_instruction, {"text": ["a", "b"], "instruction": ["c"]}, "2 texts were given"),
        (explain_instruction, {"text": ["a"], "instruction": [""]}, "--instruction number 1 is empty"),
    ],
)
def test_mistakes_are_refused(checkpoint, program, options, message):
    with flagsaver.flagsaver(model=checkpoint, **options), pytest.raises(ValueError, match=message):
        program.main([])


def test_a_recipe_that_was_not_loaded_is_refused(config):
    loaded = encoder.shared_encoder(config).embedder
    with pytest.raises(models.ModelError, match=r"pooling 'cls'.*load it again"):
        loaded.with_recipe(dataclasses.replace(config.recipe, pooling="cls"))
