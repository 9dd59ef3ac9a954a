"""Files of a checkpoint that are damaged, forged or something else: each is an error that names the file."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from keytokens import models
from keytokens.models import lora
from keytokens.models.checkpoint import open_checkpoint
from tests.models import zoo_checkpoints

BERT = "thenlper/gte-base"
LLAMA = "huggyllama/llama-7b"
POOLING = "1_Pooling/config.json"
LENGTH = "sentence_bert_config.json"
GENERAL = "config_sentence_transformers.json"


def refused(directory, message, **options):
    with pytest.raises(models.ModelError, match=message):
        models.read_embedder(str(directory), **options)


def change(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | values), "utf-8")


@pytest.mark.parametrize("content", ["[]", "null", "3", '"text"', "[" * 100_000, "{", "\ufeff{}"])
@pytest.mark.parametrize("file", ["config.json", POOLING, LENGTH, GENERAL])
def test_a_file_of_another_kind_is_named(shelf, file, content):
    directory = zoo_checkpoints.build(shelf, BERT)
    (directory / file).write_text(content, "utf-8")
    refused(directory, rf"{file} (holds .* where an object {{...}} has to be|is not valid JSON)")


@pytest.mark.parametrize("content", [b"\xff{}", b"\x00"])
def test_a_file_that_is_no_text_is_named(shelf, content):
    directory = zoo_checkpoints.build(shelf, BERT)
    (directory / "config.json").write_bytes(content)
    refused(directory, r"config\.json is not valid JSON")


def test_a_file_that_cannot_be_opened_is_named(shelf):
    directory = zoo_checkpoints.build(shelf, BERT)
    (directory / POOLING).unlink()
    refused(directory, r"1_Pooling/config\.json is missing")
    (directory / POOLING).mkdir()
    refused(directory, r"1_Pooling/config\.json cannot be read: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1}, r"holds {'a': 1} where a list \[...\] has to be"),
        (None, r"holds None where a list \[...\] has to be"),
        ([1], "lists 1, which is no module"),
        ([{"type": "a.Transformer"}], "lists the module .*, which needs a type and a path"),
        ([{"path": ""}], "lists the module .*, which needs a type and a path"),
        ([{"type": 3, "path": ""}], "says type=3, which has to be a text"),
        ([{"type": "a.Transformer", "path": ["x"]}], r"says path=\['x'\], which has to be a text"),
    ],
)
def test_modules_that_are_none_are_refused(shelf, content, message):
    directory = zoo_checkpoints.build(shelf, BERT)
    (directory / "modules.json").write_text(json.dumps(content), "utf-8")
    refused(directory, rf"modules\.json {message}")


@pytest.mark.parametrize("kind", ["Transformer", "Pooling"])
@pytest.mark.parametrize("path", ["../../elsewhere", "1_Pooling/../../../elsewhere", "{shelf}/elsewhere", ".."])
def test_modules_lie_inside_the_checkpoint(shelf, kind, path):
    zoo_checkpoints.build(shelf, BERT).rename(shelf / "elsewhere")
    directory = zoo_checkpoints.build(shelf, BERT)
    paths = {"Transformer": "", "Pooling": "1_Pooling"} | {kind: path.format(shelf=shelf)}
    listed = [{"type": f"models.{name}", "path": place} for name, place in paths.items()]
    (directory / "modules.json").write_text(json.dumps(listed), "utf-8")
    refused(directory, r"modules\.json puts a module into .*; modules lie inside the checkpoint")


def test_a_module_in_a_folder_is_read(shelf):
    directory = zoo_checkpoints.build(shelf, BERT)
    (directory / "0_Transformer").mkdir()
    for name in ("config.json", "model.safetensors", LENGTH):
        (directory / name).rename(directory / "0_Transformer" / name)
    listed = [{"type": f"models.{name}", "path": f"./{n}_{name}"} for n, name in enumerate(("Transformer", "Pooling"))]
    (directory / "modules.json").write_text(json.dumps(listed), "utf-8")
    assert models.read_embedder(str(directory)).recipe.max_length == 250


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        (POOLING, {"pooling_mode": 3}, "says pooling_mode=3, which has to be the name of a pooling"),
        (POOLING, {"pooling_mode": ["mean", 3]}, "says pooling_mode="),
        (POOLING, {"pooling_mode": {"mean": 1}}, "says pooling_mode="),
        (POOLING, {"include_prompt": "no"}, "says include_prompt='no', which has to be true or false"),
        (POOLING, {"pooling_mode_mean_tokens": 1}, "says pooling_mode_mean_tokens=1, which has to be true or false"),
        (LENGTH, {"max_seq_length": "512"}, "says max_seq_length='512', which has to be a whole number"),
        (LENGTH, {"max_seq_length": 12.5}, r"says max_seq_length=12\.5, which has to be a whole number"),
        (LENGTH, {"max_seq_length": True}, "says max_seq_length=True, which has to be a whole number"),
        (LENGTH, {"max_seq_length": 0}, "says max_seq_length=0; it has to be at least 1"),
        (LENGTH, {"do_lower_case": "false"}, "says do_lower_case='false', which has to be true or false"),
        (GENERAL, {"prompts": []}, r"says prompts=\[\], which has to be an object"),
        (GENERAL, {"prompts": {"document": 3}}, "says document=3, which has to be a text"),
        (GENERAL, {"default_prompt_name": 3}, "says default_prompt_name=3, which has to be a text"),
        ("config.json", {"num_attention_heads": 0}, "num_attention_heads=0: must be a whole number of at least 1"),
        ("config.json", {"hidden_size": -32}, "hidden_size=-32: must be a whole number of at least 1"),
        ("config.json", {"type_vocab_size": -1}, "type_vocab_size=-1: must be a whole number of at least 0"),
        ("config.json", {"vocab_size": "30"}, "transformers cannot read .*vocab_size"),
        ("config.json", {"id2label": 3}, "transformers cannot read "),
        ("config.json", {"model_type": ["bert"]}, r"says model_type=\['bert'\], which is not implemented"),
    ],
)
def test_a_value_of_another_kind_is_refused(shelf, file, values, message):
    directory = zoo_checkpoints.build(shelf, BERT)
    change(directory / file, **values)
    refused(directory, message)


@pytest.mark.parametrize("file", [POOLING, LENGTH, GENERAL])
def test_null_says_nothing(shelf, file):
    directory = zoo_checkpoints.build(shelf, BERT)
    names = {POOLING: ["include_prompt"], LENGTH: ["max_seq_length", "do_lower_case"], GENERAL: ["prompts"]}
    expected = models.read_embedder(str(directory)).recipe
    change(directory / file, **dict.fromkeys(names[file]))
    assert models.read_embedder(str(directory)).recipe == expected


@pytest.mark.parametrize(
    ("hub_id", "values", "message"),
    [
        (LLAMA, {"num_key_value_heads": 3}, "values that no llama can have: .*4 query heads cannot share 3"),
        (LLAMA, {"rope_parameters": {"rope_type": "default", "rope_theta": 0}}, "values that no llama can have"),
        ("FacebookAI/xlm-roberta-large", {"pad_token_id": None}, "values that no xlm-roberta can have"),
        ("google-t5/t5-base", {"d_kv": 0, "num_heads": 0}, r"2 problem\(s\):\n  d_kv=0: .*\n  num_heads=0: "),
        ("google-t5/t5-base", {"decoder_start_token_id": "x"}, "decoder_start_token_id='x': must be a whole number"),
    ],
)
def test_values_that_make_no_model_are_refused(shelf, hub_id, values, message):
    directory = zoo_checkpoints.build(shelf, hub_id)
    change(directory / "config.json", **values)
    refused(directory, message, pooling="mean")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], r"holds \[\] where an object"),
        ({}, "is no checkpoint index with a weight_map"),
        ({"weight_map": []}, "is no checkpoint index with a weight_map"),
        ({"weight_map": {"a": 3}}, "names 3, which is no file beside it"),
        ({"weight_map": {"a": "/etc/model.safetensors"}}, "names '/etc/model.safetensors', which is no file beside it"),
    ],
)
def test_an_index_that_is_none_is_refused(shelf, content, message):
    directory = zoo_checkpoints.build(shelf, LLAMA)
    (directory / "model.safetensors.index.json").write_text(json.dumps(content), "utf-8")
    refused(directory, rf"model\.safetensors\.index\.json {message}", pooling="mean")


@pytest.mark.parametrize("values", [{"version": "9"}, {"normalizer": {"type": "X"}}, {"model": {}}])
def test_a_damaged_tokenizer_is_named(shelf, values):
    directory = zoo_checkpoints.build(shelf, BERT)
    change(directory / "tokenizer.json", **values)
    with pytest.raises(models.ModelError, match="has no tokenizer that can be read"):
        models.load_embedder(models.read_embedder(str(directory)))


@pytest.mark.parametrize("limit", ["512", [], True])
def test_a_tokenizers_limit_is_a_number(shelf, limit):
    directory = zoo_checkpoints.build(shelf, "facebook/opt-1.3b")
    change(directory / "tokenizer_config.json", model_max_length=limit)
    refused(directory, "says model_max_length=.*, which has to be a number", pooling="mean")


def write_eight_bits(directory, name, kind):
    """The checkpoint with one tensor more, or another one, of a format that numpy does not have; zeros."""
    tensors = {key: value.read() for key, value in open_checkpoint(directory).items()}
    shape = tensors["embeddings.word_embeddings.weight"].shape if "decoder" in name else tensors[name].shape
    tensors[name] = np.zeros(shape, np.uint8)
    header, body = {}, b""
    for key, value in tensors.items():
        ends = [len(body), len(body) + value.nbytes]
        header[key] = {"dtype": kind if key == name else "F32", "shape": value.shape, "data_offsets": ends}
        body += value.tobytes()
    written = json.dumps(header).encode()
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(written)) + written + body)


@pytest.mark.parametrize(("kind", "shown"), [("F8_E4M3", "F8_E4M3"), ("F8_E5M2", "F8_E5M2"), ("I8", "int8")])
# A parameter, and a copy of the word embeddings as the head that is tied to them.
@pytest.mark.parametrize("name", ["encoder.layer.1.attention.self.query.weight", "cls.predictions.decoder.weight"])
def test_weights_of_eight_bits_are_refused_before_they_are_loaded(shelf, name, kind, shown):
    directory = zoo_checkpoints.build(shelf, BERT)
    write_eight_bits(directory, name, kind)
    refused(directory, f"1 problem.*\n.*{name} is stored as {shown}, which is not a floating-point format")


def test_eight_bits_that_nobody_reads_are_no_problem(shelf):
    directory = zoo_checkpoints.build(shelf, BERT)
    tensors = {name: tensor.read() for name, tensor in open_checkpoint(directory).items()}
    save_file(tensors | {"embeddings.position_ids": np.zeros((1, 64), np.int8)}, directory / "model.safetensors")
    models.load_embedder(models.read_embedder(str(directory)))


def test_float16_and_float64_are_read(shelf):
    directory = zoo_checkpoints.build(shelf, BERT)
    tensors = {name: tensor.read() for name, tensor in open_checkpoint(directory).items()}
    for dtype in (np.float16, np.float64):
        save_file({name: value.astype(dtype) for name, value in tensors.items()}, directory / "model.safetensors")
        assert models.load_embedder(models.read_embedder(str(directory))).head.weight.dtype == np.float32


@pytest.fixture
def adapted(shelf):
    """A base and an adapter over it."""
    zoo_checkpoints.build(shelf, "mistralai/Mistral-7B-Instruct-v0.2")
    return zoo_checkpoints.build(shelf, "McGill-NLP/LLM2Vec-Mistral-7B-Instruct-v2-mntp")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"r": 0}, "r=0: the rank must be a whole number from 1"),
        ({"r": -4}, "r=-4: the rank"),
        ({"r": "4"}, "r='4': the rank"),
        ({"r": True}, "r=True: the rank"),
        ({"r": 10**400, "use_rslora": True}, "r=1000+: the rank"),
        ({"lora_alpha": None}, "lora_alpha=None: must be a number"),
        ({"lora_alpha": "8"}, "lora_alpha='8': must be a number"),
        ({"lora_alpha": float("nan")}, "lora_alpha=nan: must be a number"),
        ({"lora_alpha": float("-inf"), "r": 0}, r"2 problem\(s\)"),
        ({"use_rslora": "no"}, "says use_rslora='no', which has to be true or false"),
        ({"base_model_name_or_path": ["x"]}, r"says base_model_name_or_path=\['x'\], which has to be a text"),
    ],
)
def test_an_adapter_with_impossible_numbers_is_refused(adapted, values, message):
    change(adapted / "adapter_config.json", **values)
    refused(adapted, message, pooling="mean")


def test_an_adapters_configuration_is_an_object(adapted, tmp_path):
    (adapted / "adapter_config.json").write_text("[]", "utf-8")
    refused(adapted, r"adapter_config\.json holds \[\] where an object", pooling="mean")
    (adapted / "adapter_config.json").unlink()
    with pytest.raises(models.ModelError, match=r"has no adapter_config\.json, so it is no PEFT adapter"):
        lora.read_adapter_config(adapted)


@pytest.mark.parametrize(
    ("half", "make", "message"),
    [
        ("A", lambda value: value[:, None].repeat(3, 1), r"lora_A\.weight is \[4, 3, 32\], and has to be a matrix"),
        ("A", lambda value: np.float32(value[0, 0]).reshape(()), r"lora_A\.weight is \[\], and has to be a matrix"),
        ("B", lambda value: value[:, 0], r"lora_B\.weight is \[32\], and has to be a matrix"),
        (
            "A",
            lambda value: np.ones(value.shape, np.int8),
            r"lora_A\.weight is stored as int8, which is not a float",
        ),
        ("B", lambda value: np.ones(value.shape, np.int64), r"lora_B\.weight is stored as int64, which is not a float"),
    ],
)
def test_halves_that_cannot_be_multiplied_are_refused(adapted, half, make, message):
    tensors = {name: tensor.read() for name, tensor in open_checkpoint(adapted, "adapter_model").items()}
    name = next(name for name in tensors if f"layers.1.self_attn.q_proj.lora_{half}" in name)
    tensors[name] = np.asarray(make(tensors[name]))
    save_file(
        {key: np.ascontiguousarray(value).reshape(value.shape) for key, value in tensors.items()},
        adapted / "adapter_model.safetensors",
    )
    refused(adapted, rf"1 problem.*\n.*layers\.1\.self_attn\.q_proj\.{message}", pooling="mean")
