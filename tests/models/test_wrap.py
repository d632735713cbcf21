import pytest
import torch

from probes.errors import UnsupportedModelError, UsageError
from probes.models import load_model
from tests.tiny import ARCHITECTURES, tiny_model


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_model_in_a_bridge_is_the_model_itself(architecture):
    model = tiny_model(architecture)
    found = load_model(model.bridge)
    assert found.weights_hash == model.weights_hash
    assert found.bridge is model.bridge
    for (name, ours), (_, theirs) in zip(
        sorted(model.hf.named_parameters()), sorted(found.hf.named_parameters()), strict=True
    ):
        assert ours.data_ptr() == theirs.data_ptr(), name  # shared, not copied
    ids = torch.tensor([model.tokenizer("The black fox")["input_ids"]])
    with torch.inference_mode():
        torch.testing.assert_close(
            found.hf(input_ids=ids)[0], model.hf(input_ids=ids)[0], atol=1e-4, rtol=0
        )


def test_a_bridge_in_compatibility_mode_is_refused():
    bridge = tiny_model("gpt2").bridge
    bridge.enable_compatibility_mode(disable_warnings=True)
    with pytest.raises(UnsupportedModelError, match=r"compatibility mode.*Boot it again"):
        load_model(bridge)


def test_a_bridge_with_a_hook_that_edits_is_refused():
    bridge = tiny_model("llama").bridge
    bridge.add_hook("blocks.0.attn.hook_v", lambda value, hook: value * 2)
    with pytest.raises(UnsupportedModelError, match=r"hooks are attached.*reset_hooks"):
        load_model(bridge)


def test_models_in_memory_must_be_ready():
    model = tiny_model("llama")
    assert load_model(model) is model
    assert load_model(model.hf, tokenizer=model.tokenizer).weights_hash == model.weights_hash
    with pytest.raises(UsageError, match=r"without its tokenizer"):
        load_model(model.hf)
    with pytest.raises(UsageError, match=r"device cannot be chosen.*Leave them out"):
        load_model(model, device="cpu")
    with pytest.raises(UsageError, match=r"comes with its own tokenizer"):
        load_model("smollm2-135m-instruct", tokenizer=model.tokenizer)
    model.hf.train()
    with pytest.raises(UsageError, match=r"train mode.*model\.eval\(\)"):
        load_model(model.hf, tokenizer=model.tokenizer)


def test_a_path_is_a_folder(tmp_path):
    model = tiny_model("llama")
    model.hf.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    assert load_model(tmp_path).weights_hash == model.weights_hash
