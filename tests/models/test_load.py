"""Loading by name: folders, the hub, and every way a name can be wrong."""

from __future__ import annotations

import json
import os
import shutil

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file

from probes.errors import UnknownModelError, UnsupportedModelError, UsageError
from probes.models import load_model
from probes.models.tokenizers import refuse_slow
from tests.tiny import tiny_model, tiny_tokenizer


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KVPROBES_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    model = tiny_model("qwen2")
    model.hf.save_pretrained(tmp_path / "model")
    model.tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def offline_hub(monkeypatch):
    """Stand in for a hub that cannot be reached, with nothing in the cache."""
    asked = []

    def unreachable(name, **_):
        huggingface_hub.utils.validate_repo_id(name)
        asked.append(name)
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr("probes.models.hub.snapshot_download", unreachable)
    return asked


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bert"])
def test_a_folder_gives_back_the_model(architecture, tmp_path):
    model = tiny_model(architecture)
    model.hf.save_pretrained(tmp_path / "model")
    model.tokenizer.save_pretrained(tmp_path / "model")
    loaded = load_model(str(tmp_path / "model"))
    assert type(loaded.hf) is type(model.hf)
    assert loaded.weights_hash == model.weights_hash
    assert loaded.origin["config_hash"] == model.origin["config_hash"]
    assert loaded.origin["source"] == "folder"
    text = "The black fox ran."
    assert loaded.tokenizer(text)["input_ids"] == model.tokenizer(text)["input_ids"]
    assert not loaded.hf.training
    assert loaded.hf.config._attn_implementation == "sdpa"


def test_loading_writes_nothing_to_the_terminal(folder, capfd):
    load_model(str(folder))
    assert capfd.readouterr() == ("", "")


def test_dtype_is_taken_and_told_apart(folder):
    plain, halved = load_model(str(folder)), load_model(str(folder), dtype=torch.bfloat16)
    assert next(halved.hf.parameters()).dtype == torch.bfloat16
    assert plain.weights_hash != halved.weights_hash


def test_the_hash_is_that_of_the_content_whatever_the_times_say(folder):
    file = next(folder.glob("*.safetensors"))
    stat, first = file.stat(), load_model(str(folder)).weights_hash
    tensors = load_file(file)
    tensors["model.norm.weight"] = tensors["model.norm.weight"] * 2
    save_file(tensors, file, metadata={"format": "pt"})
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert load_model(str(folder)).weights_hash != first


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("weights.bin", r"no \.safetensors file: weights\.bin"),
        ("../other.safetensors", "outside of itself"),
        ("/tmp/other.safetensors", "outside of itself"),  # noqa: S108
        ("absent.safetensors", "lacks 1 of"),
    ],
)
@pytest.mark.parametrize("chosen", [False, True])
def test_an_index_names_files_of_the_folder_that_are_no_pickles(folder, name, told, chosen):
    """The index that transformers finds itself, and one that the config names."""
    weights = folder / "model.safetensors"
    index = folder / ("mine.safetensors.index.json" if chosen else "model.safetensors.index.json")
    tensors = load_file(weights)
    torch.save(tensors, folder / "weights.bin")
    index.write_text(json.dumps({"weight_map": dict.fromkeys(tensors, name)}), encoding="utf-8")
    if chosen:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config["transformers_weights"] = index.name
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    else:
        weights.rename(folder / "kept.safetensors")
    with pytest.raises(UnsupportedModelError, match=told):
        load_model(str(folder))


def test_a_hub_name_goes_through_the_snapshot(folder, tmp_path, monkeypatch):
    commit = tmp_path / "0123abc"
    shutil.copytree(folder, commit)
    asked = {}

    def snapshot(name, **arguments):
        asked.update(arguments, name=name)
        return str(commit)

    monkeypatch.setattr("probes.models.hub.snapshot_download", snapshot)
    model = load_model("someone/tiny", revision="main")
    assert (asked["name"], asked["revision"]) == ("someone/tiny", "main")
    assert not any("bin" in pattern or "py" in pattern for pattern in asked["allow_patterns"])
    assert model.origin["revision"] == "0123abc"
    assert model.name == "someone/tiny"


def test_a_near_miss_is_suggested(offline_hub):
    with pytest.raises(UnknownModelError, match="Did you mean smollm2-135m-instruct") as caught:
        load_model("smollm2-135-instruct")
    assert "three ways" in str(caught.value)
    assert "could not be reached" in str(caught.value)


def test_a_name_that_no_hub_has(offline_hub):
    with pytest.raises(UnknownModelError, match="not a name that the hub could have"):
        load_model("no such model!")
    assert not offline_hub


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/no-such-folder-here"])
def test_a_path_that_is_no_folder_is_not_looked_up(name, offline_hub):
    with pytest.raises(UnknownModelError, match="is not a folder"):
        load_model(name)
    assert not offline_hub


def test_a_folder_without_a_config(tmp_path, offline_hub):
    with pytest.raises(UnknownModelError, match=r"holds no config\.json"):
        load_model(str(tmp_path))
    assert not offline_hub


def test_pickled_weights_are_not_read(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(UnsupportedModelError, match=r"no \.safetensors"):
        load_model(str(folder))


def test_missing_weights_are_refused(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.self_attn.k_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnsupportedModelError, match=r"lacks 1 weights.*k_proj"):
        load_model(str(folder))


@pytest.mark.parametrize("named", [["NoSuchModel"], ["AutoConfig"], None])
def test_an_architecture_that_transformers_lacks(folder, named):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = named
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UnsupportedModelError, match="never runs code"):
        load_model(str(folder))


def test_code_that_comes_with_a_model_is_not_run(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "evil.py").write_text("raise SystemExit('ran')", encoding="utf-8")
    with pytest.raises(UnsupportedModelError, match="config"):
        load_model(str(folder))


def test_a_folder_without_a_tokenizer(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(UnsupportedModelError, match=r"tokenizer.*knows no words"):
        load_model(str(folder))


def test_a_slow_tokenizer_is_refused():
    from transformers import CanineTokenizer

    with pytest.raises(UnsupportedModelError, match="CanineTokenizer, without character offsets"):
        refuse_slow(CanineTokenizer(), "slow")


def test_an_unsupported_architecture_is_refused(tmp_path):
    from transformers import BitNetConfig, BitNetForCausalLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = BitNetConfig(vocab_size=400, num_key_value_heads=4, intermediate_size=40, **sizes)
    BitNetForCausalLM(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"BitNetForCausalLM.*a norm is between"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("device", ["cuda:99", "nonsense"])
def test_a_device_that_is_not_there(device):
    with pytest.raises(UsageError, match=device):
        load_model(device=device)


def test_a_revision_of_a_folder(folder):
    with pytest.raises(UsageError, match="revision='v2'"):
        load_model(str(folder), revision="v2")


def test_a_device_map_passes_through(folder):
    model = load_model(str(folder), device_map={"": "cpu"})
    assert model.device.type == "cpu"
    plain = load_model(str(folder))
    assert model.weights_hash == plain.weights_hash


def test_half_precision_passes_through(folder):
    model = load_model(str(folder), dtype=torch.bfloat16)
    assert model.hf.dtype == torch.bfloat16
