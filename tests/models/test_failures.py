"""Every way a folder or a model can fail ends in one of our errors, which names the next step."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from probes.capture.batch import BatchRunner
from probes.capture.plan import TokenSequence
from probes.errors import KvprobesError, UnsupportedModelError, UsageError
from probes.models import build_model, examine_model, load_model, refuse_unfaithful
from probes.words.align import TokenSpan
from tests.tiny import tiny_model, tiny_tokenizer


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KVPROBES_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    model = tiny_model("qwen2")
    model.hf.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    model.tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def first_shard(folder: Path) -> Path:
    return min(folder.glob("*.safetensors"))


def configure(folder: Path, name: str = "config.json", **settings: object) -> None:
    file = folder / name
    told = json.loads(file.read_text("utf-8")) if file.exists() else {}
    file.write_text(json.dumps(told | settings), "utf-8")


def change(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Rewrite the weights as one file, edited."""
    weights = {
        name: weight
        for file in folder.glob("*.safetensors")
        for name, weight in load_file(file).items()
    }
    for file in [*folder.glob("*.safetensors"), folder / "model.safetensors.index.json"]:
        file.unlink()
    edit(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def spoil(folder: Path) -> None:
    change(
        folder, lambda weights: weights["model.layers.1.self_attn.k_proj.weight"].fill_(torch.nan)
    )


def add(name: str, *shape: int) -> Callable[[Path], None]:
    return lambda folder: change(folder, lambda weights: weights.update({name: torch.ones(shape)}))


def cut_off(folder: Path) -> None:
    file = first_shard(folder)
    file.write_bytes(file.read_bytes()[:-100])


def adapt(folder: Path) -> None:
    """Put an adapter beside the model that no peft can apply."""
    configure(folder, "adapter_config.json", peft_type="LORA", base_model_name_or_path="x")


def strip_base(folder: Path) -> None:
    adapt(folder)
    (folder / "config.json").unlink()


def start_with(head: bytes) -> bytes:
    """Return a safetensors file of such a head."""
    return len(head).to_bytes(8, "little") + head + bytes(100)


def nest(depth: int) -> bytes:
    """Return a safetensors file whose head is nested so deeply."""
    return start_with(b'{"a":' * depth + b"1" + b"}" * depth)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"

FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "half a file": (cut_off, r"cut off or damaged.*again"),
    "an empty file": (lambda f: first_shard(f).write_bytes(b""), r"cut off or damaged.*again"),
    "a missing shard": (lambda f: first_shard(f).unlink(), r"lacks 1 of \d files.*00001-of.*Fetch"),
    "an LFS pointer": (lambda f: first_shard(f).write_bytes(POINTER), r"git lfs pull"),
    "a tokenizer pointer": (lambda f: (f / "tokenizer.json").write_bytes(POINTER), r"git lfs pull"),
    "half a tokenizer": (
        lambda f: (f / "tokenizer.json").write_text("{", "utf-8"),
        r"Loading the tokenizer.*save_pretrained",
    ),
    "half a config": (lambda f: (f / "config.json").write_text("{", "utf-8"), r"damaged.*Choose"),
    "half an index": (
        lambda f: (f / "model.safetensors.index.json").write_text("{", "utf-8"),
        r"index.*failed.*again",
    ),
    "an adapter alone": (strip_base, r"adapter without its base.*merge"),
    "other sizes": (lambda f: configure(f, hidden_size=32), r"Loading.*failed.*config\.json"),
    "fewer layers": (
        lambda f: configure(f, num_hidden_layers=1, layer_types=["full_attention"]),
        r"holds 1\d weights that its config denies.*layers\.1\.",
    ),
    "a bias that is denied": (
        add("model.layers.0.self_attn.o_proj.bias", 24),
        r"holds 1 weights.*nobody reads: model\.layers\.0\.self_attn\.o_proj\.bias.*attention_bias",
    ),
    "scales without a config": (
        add("model.layers.0.self_attn.k_proj.weight_scale_inv", 1, 1),
        r"k_proj\.weight_scale_inv.*quantization_config",
    ),
    "an adapter's weights": (
        add("base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight", 2, 24),
        r"k_proj\.lora_A\.weight.*save the model again",
    ),
    "NaN weights": (spoil, r"1 weights hold NaN.*layers\.1\.self_attn\.k_proj.*Fetch"),
    "a quantised model": (
        lambda f: configure(f, quantization_config={"quant_method": "hqq"}),
        r"quantised \(hqq\), which needs `pip install hqq`",
    ),
    "bitsandbytes": (
        lambda f: configure(
            f, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}
        ),
        r"quantised \(bitsandbytes\), which needs `pip install bitsandbytes",
    ),
    "absurdly many layers": (
        lambda f: configure(f, num_hidden_layers=10**7),
        r"num_hidden_layers = 10,000,000, but the weights beside it are \d+ tensors.*both",
    ),
    "an absurd width": (
        lambda f: configure(f, text_config={"intermediate_size": 10**12}),
        r"intermediate_size = 1,000,000,000,000, but the weights .* bits in all",
    ),
    "a head nested too deeply": (
        lambda f: first_shard(f).write_bytes(nest(100_000)),
        r"cut off or damaged.*again",
    ),
    "a head without an end": (
        lambda f: first_shard(f).write_bytes(start_with(b'{"a": {"data_offsets": []}}')),
        r"cut off or damaged.*again",
    ),
    "a model of pictures": (
        lambda f: configure(f, architectures=["ViTModel"]),
        r"ViTModel reads pixel_values, not text.*Choose a model of text",
    ),
    "a model of sounds": (
        lambda f: configure(f, architectures=["WhisperForConditionalGeneration"]),
        r"reads input_features, not text",
    ),
}


@pytest.mark.parametrize("what", FOLDERS)
def test_a_folder_that_cannot_be_loaded_says_what_to_do(what, folder):
    do, said = FOLDERS[what]
    do(folder)
    with pytest.raises(KvprobesError) as caught:
        load_model(folder)
    assert re.search(said, str(caught.value), re.DOTALL), caught.value
    assert "please report" not in str(caught.value)


def test_adapters_beside_a_model_are_merged_or_refused(folder):
    """One rank-1 adapter of W_K in layer 1, whose product is known."""
    down, up = torch.arange(24.0)[None] / 24, torch.linspace(-1, 1, 16)[:, None]
    name = "base_model.model.model.layers.1.self_attn.k_proj.lora_{}.weight"
    save_file({name.format("A"): down, name.format("B"): up}, folder / "adapter_model.safetensors")
    told = {"peft_type": "LORA", "base_model_name_or_path": str(folder), "task_type": "CAUSAL_LM"}
    told |= {"layers_to_transform": [1], "target_modules": ["k_proj"]}
    configure(folder, "adapter_config.json", **told, r=1, lora_alpha=3)
    if find_spec("peft") is None:
        with pytest.raises(UnsupportedModelError, match="Install peft"):
            load_model(folder)
        return
    adapted = load_model(folder).geometry.layers[1].key.module.weight
    (folder / "adapter_config.json").unlink()
    plain = load_model(folder).geometry.layers[1].key.module.weight
    torch.testing.assert_close(adapted - plain, 3 * up @ down)


def test_weights_of_another_head_are_told(folder):
    """Such as those of BERT's next-sentence task: nothing that is measured reads them."""
    change(folder, lambda weights: weights.update({"cls.seq_relationship.weight": torch.ones(2)}))
    told = [check.told for check in load_model(folder).checks]
    assert "but those of another head: cls.seq_relationship.weight" in told


def test_flash_attention_in_the_config_is_loaded_otherwise(folder):
    configure(folder, attn_implementation="flash_attention_2")
    assert load_model(folder).hf.config._attn_implementation == "sdpa"
    assert load_model(folder, attn="eager").hf.config._attn_implementation == "eager"
    with pytest.raises(UsageError, match="attn must be one of sdpa, eager"):
        load_model(folder, attn="flash_attention_2")


def test_a_tokenizer_without_a_pad_token_still_pads(folder):
    file = folder / "tokenizer_config.json"
    told = json.loads(file.read_text("utf-8"))
    del told["pad_token"], told["eos_token"]
    file.write_text(json.dumps(told), "utf-8")
    model = load_model(folder)
    assert model.tokenizer(["The fox", "The fox ran"], padding=True)["attention_mask"][0][-1] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device_map": {"": "disk"}}, r"device-map .*that holds all weights in memory"),
        ({"device_map": {"": "meta"}}, r"device-map .*that holds all weights in memory"),
        ({"device": "meta"}, r"device 'meta' cannot be used here"),
    ],
)
def test_weights_that_are_not_in_memory(folder, options, said):
    with pytest.raises(KvprobesError, match=said):
        load_model(folder, **options)


def test_a_model_on_the_meta_device():
    hf = tiny_model().hf.to("meta")
    with pytest.raises(UnsupportedModelError, match=r"have no numbers here.*in memory"):
        build_model(hf, tiny_tokenizer(), name="nowhere")


def examine(model):
    refuse_unfaithful("it", examine_model(model))


def test_numbers_that_overflow_are_named_as_such():
    model = tiny_model()
    with torch.no_grad():
        model.hf.model.layers[0].mlp.down_proj.weight.fill_(6e4)
    model.hf.half()
    with pytest.raises(
        UnsupportedModelError, match=r"in float16\. They overflow.*bfloat16"
    ) as caught:
        examine(model)
    assert "please report" not in str(caught.value)


def test_weights_that_are_nan_in_memory_are_named_as_such():
    model = tiny_model()
    with torch.no_grad():
        model.hf.model.layers[1].mlp.down_proj.weight[0] = torch.nan
    with pytest.raises(UnsupportedModelError, match=r"NaN.*layers\.1\.mlp\.down_proj"):
        examine(model)


@pytest.mark.parametrize(
    ("error", "ours", "said"),
    [
        (RuntimeError("no kernel image\nfor it"), UnsupportedModelError, "no kernel image.*doctor"),
        (IndexError("out of range"), UnsupportedModelError, "out of range.*doctor"),
        (torch.OutOfMemoryError("CUDA out of memory"), UsageError, "--batch-size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), UsageError, "--batch-size"),
    ],
)
def test_a_forward_pass_that_fails(error, ours, said):
    model = tiny_model()

    def fail(*_):
        raise error

    model.hf.model.layers[1].register_forward_pre_hook(fail)
    runner = BatchRunner(model, key_stage="normed")
    sequence = TokenSequence((1, 5, 6), 0, ((0, TokenSpan(1, 1)),), ((0, 2, 1),))
    with pytest.raises(ours, match=said), runner.attached():
        runner.run([sequence])
    with pytest.raises(ours, match="short sentence"):
        examine(model)
