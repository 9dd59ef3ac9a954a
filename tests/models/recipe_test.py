"""Recipes: from the files of sentence-transformers, from the registry, from the user; and what they do to tokens."""

import json
import shutil

import jax
import numpy as np
import pytest

from keytokens import models
from keytokens.models.recipe_files import read_recipe_files
from tests.models import batches, zoo_checkpoints

MODULES = ("Transformer", "Pooling", "Normalize")


def write_files(directory, *, modules=MODULES, pooling=None, general=None, length=None, package="models"):
    listed = [
        {"idx": number, "name": str(number), "path": f"{number}_{kind}" * (number > 0), "type": f"{package}.{kind}"}
        for number, kind in enumerate(modules)
    ]
    (directory / "modules.json").write_text(json.dumps(listed), "utf-8")
    (directory / "1_Pooling").mkdir(exist_ok=True)
    written = pooling or {"pooling_mode_mean_tokens": True, "word_embedding_dimension": 32}
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(written), "utf-8")
    for name, content in (("config_sentence_transformers", general), ("sentence_bert_config", length)):
        if content is not None:
            (directory / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return directory


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_lasttoken": True}, "lasttoken"),
        ({"pooling_mode_weightedmean_tokens": True, "word_embedding_dimension": 8}, "weightedmean"),
        ({"pooling_mode": "mean", "embedding_dimension": 8}, "mean"),
        ({"pooling_mode": ["max"]}, "max"),
    ],
)
def test_old_and_new_pooling_files(tmp_path, pooling, expected):
    assert read_recipe_files(write_files(tmp_path, pooling=pooling)).pooling == expected


def test_module_types_of_old_and_new_versions(tmp_path):
    for package in ("sentence_transformers.models", "sentence_transformers.sentence_transformer.modules.x"):
        assert read_recipe_files(write_files(tmp_path, package=package)).normalize
    assert not read_recipe_files(write_files(tmp_path, modules=MODULES[:2])).normalize


def test_prompts_length_and_case(tmp_path):
    general = {"prompts": {"query": "q: ", "document": "d: ", "other": "o: "}, "default_prompt_name": None}
    files = read_recipe_files(
        write_files(tmp_path, general=general, length={"max_seq_length": 99, "do_lower_case": True})
    )
    assert files.prompts == general["prompts"]
    assert (files.max_length, files.lowercase) == (99, True)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"modules": ("Transformer", "Pooling", "WordWeights")}, "asks for WordWeights"),
        ({"modules": ("Transformer",)}, "has no Pooling module"),
        ({"pooling": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}}, "asks for 2 poolings"),
        ({"pooling": {"pooling_mode": "mean", "magic": 1}}, "sets magic, which is not known"),
    ],
)
def test_what_is_not_implemented_is_refused(tmp_path, files, message):
    with pytest.raises(models.ModelError, match=message):
        read_recipe_files(write_files(tmp_path, **files))


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "modules.json").write_text("[{", "utf-8")
    with pytest.raises(models.ModelError, match=r"modules\.json is not valid JSON"):
        read_recipe_files(tmp_path)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"pooling": "sum"}, "pooling='sum' is not implemented"),
        ({"pooling": "mean", "attention": "sparse"}, "attention='sparse'"),
        ({"pooling": "mean", "prompt": "{} and {}"}, "has 2 places"),
        ({"pooling": "mean", "brackets": "["}, "must be two characters"),
        ({"pooling": "mean", "max_length": 0}, "leave no room"),
    ],
)
def test_an_impossible_recipe_is_refused(recipe, message):
    with pytest.raises(models.ModelError, match=message):
        models.Recipe(**recipe)


def test_instructions_find_their_place():
    recipe = models.Recipe("mean", instruction="Instruct: {instruction}\nQuery: ")
    assert recipe.with_instruction("Find it").prompt == "Instruct: Find it\nQuery: "
    with pytest.raises(models.ModelError, match="not trained to follow instructions"):
        models.Recipe("mean").with_instruction("Find it")


def load(shelf, hub_id, **options):
    directory = zoo_checkpoints.build(shelf, hub_id)
    return models.load_embedder(models.read_embedder(str(directory), **options))


def strings(embedder, tokens, which=None):
    ids = tokens.ids if which is None else tokens.ids[which]
    return [embedder.token_strings[token] for token in ids]


def test_an_unregistered_model_works_from_its_files(shelf):
    directory = zoo_checkpoints.build(shelf, "thenlper/gte-base")
    recipe = models.read_embedder(str(directory)).recipe
    assert (recipe.pooling, recipe.normalize, recipe.max_length, recipe.prompt) == ("mean", True, 250, "")


def test_a_model_without_files_has_to_be_told_its_pooling(shelf):
    directory = zoo_checkpoints.build(shelf, "facebook/contriever")
    with pytest.raises(models.ModelError, match="Say pooling='mean'"):
        models.read_embedder(str(directory))
    assert models.read_embedder(str(directory), pooling="cls").recipe.pooling == "cls"


def test_prompts_of_the_files_by_role_and_by_name(shelf):
    directory = zoo_checkpoints.build(shelf, "google/embeddinggemma-300m")
    recipe = models.read_embedder(str(directory)).recipe
    assert (recipe.prompt, recipe.query_prompt) == ("title: none | text: ", "task: search result | query: ")
    assert models.read_embedder(str(directory), prompt_name="query").recipe.prompt == recipe.query_prompt
    with pytest.raises(models.ModelError, match="names no prompt 'summary'; it names: query, document"):
        models.read_embedder(str(directory), prompt_name="summary")


def test_a_backbone_takes_the_embedders_recipe_whole(shelf):
    embedder = models.read_embedder(
        str(zoo_checkpoints.build(shelf, "Muennighoff/SGPT-1.3B-weightedmean-nli")), prompt="say: "
    )
    backbone = models.read_embedder(
        str(zoo_checkpoints.build(shelf, "EleutherAI/gpt-neo-1.3B")), recipe=embedder.recipe
    )
    assert backbone.recipe == embedder.recipe


def test_a_backbone_keeps_its_own_attention(shelf):
    grit = models.read_embedder(
        str(zoo_checkpoints.build(shelf, "GritLM/GritLM-7B")), pooling="mean", attention="bidirectional"
    )
    directory = str(zoo_checkpoints.build(shelf, "mistralai/Mistral-7B-Instruct-v0.2"))
    assert grit.spec.layers[0].ahead is None
    assert models.read_embedder(directory, recipe=grit.recipe).spec.layers[0].ahead == 0
    changed = models.read_embedder(directory, recipe=grit.recipe, attention="bidirectional")
    assert changed.spec.layers[0].ahead is None


def test_learned_positions_bound_the_length(shelf):
    directory = zoo_checkpoints.build(shelf, "thenlper/gte-base")
    with pytest.raises(models.ModelError, match=r"max_length=257 exceeds the 256 positions"):
        models.read_embedder(str(directory), max_length=257)


@pytest.mark.parametrize(
    ("hub_id", "positions"),
    [
        ("FacebookAI/xlm-roberta-large", 254),
        ("microsoft/mpnet-base", 254),
        ("facebook/opt-1.3b", 256),
        ("google-bert/bert-base-uncased", 256),
    ],
)
def test_a_length_that_nobody_gave_is_that_of_the_positions(shelf, hub_id, positions):
    directory = zoo_checkpoints.build(shelf, hub_id)
    file = directory / "tokenizer_config.json"
    settings = json.loads(file.read_text("utf-8"))
    del settings["model_max_length"]
    file.write_text(json.dumps(settings), "utf-8")
    config = models.read_embedder(str(directory), pooling="mean")
    assert config.recipe.max_length == positions
    # A text of that length reaches the last row of the table, and none beyond.
    assert config.spec.first_position + positions == config.spec.positions
    assert len(models.load_embedder(config).tokenize(["bake " * 300])[0].ids) == positions
    message = f"max_length={positions + 1} exceeds the {positions} positions"
    with pytest.raises(models.ModelError, match=message):
        models.read_embedder(str(directory), pooling="mean", max_length=positions + 1)
    with pytest.raises(models.ModelError, match=message):
        models.read_embedder(str(directory), recipe=models.Recipe("mean", max_length=positions + 1))
    # The checkpoint's own files give it, too.
    write_files(directory, length={"max_seq_length": positions + 1})
    with pytest.raises(models.ModelError, match=message):
        models.read_embedder(str(directory))


def test_the_text_is_cut_and_never_the_prompt(shelf):
    embedder = load(shelf, "facebook/opt-1.3b", pooling="lasttoken", prompt='say "{}" now', max_length=14)
    whole, cut = embedder.tokenize(["bake", "bake bread at home in a hot oven"])
    assert (whole.truncated, cut.truncated) == (False, True)
    assert len(cut.ids) == 14
    assert cut.ids[-3:].tolist() == whole.ids[-3:].tolist()
    assert cut.ids[0] == whole.ids[0]
    assert not cut.text[-1]
    text = "bake bread at home in a hot oven"
    assert "".join(text[start:stop] for start, stop in cut.offsets[cut.text]).startswith("bake bread"[:6])


def test_a_prompt_that_leaves_no_room_is_refused(shelf):
    with pytest.raises(models.ModelError, match="is used up by the"):
        load(shelf, "facebook/opt-1.3b", pooling="lasttoken", prompt="a very long prompt " * 4, max_length=12)


def test_the_prompt_can_be_left_out_of_the_mean(shelf):
    directory = str(zoo_checkpoints.build(shelf, "thenlper/gte-base"))
    recipe = models.Recipe("mean", prompt="query: ", include_prompt=False, max_length=60)
    embedder = models.load_embedder(models.read_embedder(directory, recipe=recipe))
    tokens = embedder.tokenize(["bread"])[0]
    # As sentence-transformers has it: everything before the text is left out, its end token is not.
    assert strings(embedder, tokens, tokens.pooled) == ["bread", "[SEP]"]


def test_brackets_stand_around_documents_and_queries(shelf, monkeypatch):
    monkeypatch.setattr("keytokens.models.locate._packaged", lambda row: None)
    for hub_id in ("Muennighoff/SGPT-1.3B-weightedmean-msmarco-specb-bitfit", "EleutherAI/gpt-neo-1.3B"):
        zoo_checkpoints.build(shelf, hub_id)
    embedder = models.load_embedder(models.read_embedder("sgpt_msmarco", max_length=6))
    document, query = embedder.tokenize(["bake"])[0], embedder.tokenize(["bake"], query=True)[0]
    assert (strings(embedder, document)[0], strings(embedder, document)[-1]) == ("{", "}")
    assert (strings(embedder, query)[0], strings(embedder, query)[-1]) == ("[", "]")
    assert not document.text[0]
    assert not document.text[-1]
    long = embedder.tokenize(["bake bread at home"])[0]
    assert (len(long.ids), strings(embedder, long)[-1]) == (6, "}")


def test_the_end_token_is_appended_once(shelf):
    # transformers 5 drops the end token that E5-Mistral's tokenizer used to add.
    recipe = models.Recipe("lasttoken", end_token="</s>", max_length=8)
    for hub_id in ("mistralai/Mistral-7B-Instruct-v0.2", "intfloat/multilingual-e5-large-instruct"):
        embedder = load(shelf, hub_id, recipe=recipe)
        for tokens in embedder.tokenize(["bake", "bake bread at home in a hot oven", ""]):
            assert strings(embedder, tokens)[-1] == "</s>"
            assert strings(embedder, tokens).count("</s>") == 1
            assert len(tokens.ids) <= 8


def test_an_end_token_that_does_not_exist_is_refused(shelf):
    with pytest.raises(models.ModelError, match="'<end>', which is not in this tokenizer's vocabulary"):
        load(shelf, "huggyllama/llama-7b", recipe=models.Recipe("mean", end_token="<end>"))


def test_mask_pooling_needs_a_mask(shelf):
    with pytest.raises(models.ModelError, match=r"needs a prompt with one \[MASK\]"):
        load(shelf, "google-bert/bert-base-uncased", recipe=models.Recipe("mask", prompt="says: ", max_length=60))


def test_a_mask_in_the_text_is_not_the_prompts(shelf):
    recipe = models.Recipe("mask", prompt='"{}" means [MASK].', max_length=60)
    embedder = load(shelf, "google-bert/bert-base-uncased", recipe=recipe)
    tokens = embedder.tokenize(["bread [MASK] dough"])[0]
    assert tokens.pooled.sum() == 1
    assert not tokens.text[tokens.pooled].any()


def test_lowercasing_keeps_offsets(shelf):
    embedder = load(shelf, "facebook/contriever", recipe=models.Recipe("mean", lowercase=True, max_length=60))
    tokens = embedder.tokenize(["BREAD at home"])[0]
    assert strings(embedder, tokens, tokens.text) == ["bread", "at", "home"]
    np.testing.assert_array_equal(tokens.offsets[tokens.text], [[0, 5], [6, 8], [9, 13]])


@pytest.mark.parametrize("hub_id", ["facebook/contriever", "EleutherAI/gpt-neo-1.3B"])
def test_offsets_are_of_the_text_and_not_of_its_lower_case(shelf, hub_id):
    # İ is two characters in lower case: BERT drops the second one, GPT-Neo makes tokens of both.
    text = "İİ BREAD at İHOME"
    lowered = load(shelf, hub_id, recipe=models.Recipe("mean", lowercase=True, max_length=60)).tokenize([text])[0]
    plain = load(shelf, hub_id, recipe=models.Recipe("mean", max_length=60)).tokenize([text.lower()])[0]
    # The tokens are those of the lower case ...
    np.testing.assert_array_equal(lowered.ids, plain.ids)
    np.testing.assert_array_equal(lowered.text, plain.text)
    # ... and lie where they came from.
    source = [place for place, character in enumerate(text) for _ in character.lower()]
    expected = [[source[start], source[stop - 1] + 1] for start, stop in plain.offsets[plain.text]]
    np.testing.assert_array_equal(lowered.offsets[lowered.text], expected)
    assert lowered.offsets.max() == len(text) < plain.offsets.max()


def test_batch_composition_does_not_change_an_embedding(shelf):
    embedder = load(shelf, "thenlper/gte-base")
    embed = jax.jit(embedder.embed)
    tokens = embedder.tokenize(["bake bread", "the stock market fell sharply on monday", "dogs bark"])
    together = np.asarray(embed(embedder.params, *batches.pad(tokens)))
    alone = np.asarray(embed(embedder.params, *batches.pad(tokens[:1])))
    np.testing.assert_allclose(together[0], alone[0], rtol=0, atol=2e-6)


def test_a_hub_id_of_one_row_is_that_row(shelf):
    hub_id = "intfloat/e5-mistral-7b-instruct"
    for needed in (hub_id, "mistralai/Mistral-7B-v0.1"):
        zoo_checkpoints.build(shelf, needed)
    assert models.read_embedder(hub_id).recipe == models.read_embedder("e5_mistral").recipe
    # Several rows say different things about this one.
    zoo_checkpoints.build(shelf, "facebook/opt-1.3b")
    with pytest.raises(models.ModelError, match="Say pooling="):
        models.read_embedder("facebook/opt-1.3b")


def test_what_is_recorded_does_not_depend_on_the_place(shelf, tmp_path):
    first = zoo_checkpoints.build(shelf, "thenlper/gte-base")
    second = shutil.copytree(first, tmp_path / "elsewhere" / "gte-base")
    assert models.read_embedder(str(first)).identity() == models.read_embedder(str(second)).identity()
    (second / "config.json").write_text((second / "config.json").read_text("utf-8") + " ", "utf-8")
    changed = models.read_embedder(str(second)).identity()
    assert changed["config_sha256"] != models.read_embedder(str(first)).identity()["config_sha256"]


def test_no_texts_are_no_tokens(shelf):
    assert load(shelf, "thenlper/gte-base").tokenize([]) == []


def test_the_registry_is_a_table_for_json():
    rows = models.registry_rows()
    assert [row["name"] for row in rows] == list(models.ZOO)
    json.dumps(rows)


def test_pieces_are_readable():
    assert [models.render_token(piece) for piece in ("Ġthe", "▁the", "##ing", "Ã©", "é", "Ċ", "Ã")] == [
        *(" the", " the", "##ing", "é", "é", "\n", "Ã")
    ]
