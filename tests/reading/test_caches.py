"""What others have kept equals our own reading, or is refused with the reason."""

import pytest
import torch

from probes.errors import FaithfulnessError, UsageError
from probes.reading import from_cache, from_past_key_values, from_projections, read
from tests.reading.readings import SENTENCES, WORDS
from tests.tiny import ARCHITECTURES, tiny_model

NAMES = ("k", "v", "x", "q", "key_metric", "value_metric")


def encode(model, side="right"):
    model.tokenizer.padding_side = side
    return model.tokenizer(list(SENTENCES), return_tensors="pt", padding=True)


def assert_equal(theirs, ours, names=NAMES):
    assert theirs.table.equals(ours.table)
    for name in names:
        for found, expected in zip(getattr(theirs, name), getattr(ours, name), strict=True):
            scale = float(expected.abs().max())
            torch.testing.assert_close(found / scale, expected / scale, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_transformer_lens_cache_gives_our_own_reading_at_every_stage(architecture):
    model = tiny_model(architecture)
    inputs = encode(model)
    _, cache = model.bridge.run_with_cache(
        inputs["input_ids"], attention_mask=inputs["attention_mask"]
    )
    for stage in ("projected", "normed", "rotated"):
        theirs = from_cache(cache, model.bridge, SENTENCES, WORDS, key_stage=stage)
        assert_equal(theirs, read(model, SENTENCES, WORDS, key_stage=stage))
    assert theirs.about["source"] == "a cache"


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma", "phi", "gpt2", "opt"])
def test_a_key_value_cache_gives_rotated_keys_and_values(architecture):
    model = tiny_model(architecture)
    past = model.hf(**encode(model), use_cache=True).past_key_values
    ours = read(model, SENTENCES, WORDS, key_stage="rotated")
    theirs = from_past_key_values(past, model.hf, SENTENCES, WORDS, tokenizer=model.tokenizer)
    assert_equal(theirs, ours, ("k", "v", "value_metric"))
    pairs = [(layer.keys, layer.values) for layer in past.layers]
    assert_equal(from_past_key_values(pairs, model, SENTENCES, WORDS), ours, ("k", "v"))
    assert (theirs.x, theirs.q, theirs.key_metric) == ((), (), ())


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gpt2"])
def test_saved_outputs_of_projections_are_cut_by_head(architecture):
    model = tiny_model(architecture)
    kept = {name: [] for name in ("query", "key", "value", "x")}
    handles = []
    for layer in model.geometry.layers:
        for name in ("query", "key", "value"):

            def keep(_, args, output, name=name):
                kept[name].append(output)
                if name == "key":
                    kept["x"].append(args[0])

            handles.append(getattr(layer, name).module.register_forward_hook(keep))
    with torch.inference_mode():
        model.hf(**encode(model))
    for handle in handles:
        handle.remove()
    theirs = from_projections(
        kept["key"], kept["value"], model, SENTENCES, WORDS, queries=kept["query"], x=kept["x"]
    )
    assert_equal(theirs, read(model, SENTENCES, WORDS))


def test_left_padding_is_read_with_a_mask_and_refused_without():
    model = tiny_model("llama")
    inputs = encode(model, side="left")
    positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    past = model.hf(**inputs, position_ids=positions, use_cache=True).past_key_values
    ours = read(model, SENTENCES, WORDS, key_stage="rotated")
    theirs = from_past_key_values(past, model, SENTENCES, WORDS, padding="left")
    assert_equal(theirs, ours, ("k", "v"))
    with pytest.raises(FaithfulnessError, match=r"padding on the left"):
        from_past_key_values(past, model, SENTENCES, WORDS)
    past = model.hf(input_ids=inputs["input_ids"], use_cache=True).past_key_values
    with pytest.raises(FaithfulnessError, match=r"keys of a key-value cache in layer \d"):
        from_past_key_values(past, model, SENTENCES, WORDS, padding="left")


def test_an_intervention_is_found_and_can_be_asked_for():
    model = tiny_model("llama")
    inputs = encode(model)
    _, cache = model.bridge.run_with_cache(
        inputs["input_ids"], attention_mask=inputs["attention_mask"]
    )
    edited = dict(cache.items())
    edited["blocks.1.attn.hook_v"] = edited["blocks.1.attn.hook_v"].roll(1, dims=2)
    with pytest.raises(FaithfulnessError, match=r"the values of a cache in layer 1 are not"):
        from_cache(edited, model, SENTENCES, WORDS)
    words = from_cache(edited, model, SENTENCES, WORDS, check=False)
    ours = read(model, SENTENCES, WORDS)
    torch.testing.assert_close(words.v[1], ours.v[1].roll(1, dims=1), atol=1e-5, rtol=0)


def test_a_cache_that_lacks_something_says_what_to_run():
    model = tiny_model("gpt2")
    inputs = encode(model)
    _, cache = model.bridge.run_with_cache(
        inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        names_filter=lambda name: name.endswith(("hook_k", "hook_v")),
    )
    words = from_cache(cache, model, SENTENCES, WORDS)
    assert words.x == words.q == words.key_metric == ()
    lacking = {name: cache[name] for name in cache if not name.endswith("hook_v")}
    with pytest.raises(UsageError, match=r"no blocks\.0\.attn\.hook_v.*run_with_cache"):
        from_cache(lacking, model, SENTENCES, WORDS)
    with pytest.raises(UsageError, match=r"of 3 rows of .* the sentences are 2"):
        from_cache(cache, model, SENTENCES[:2], ["black", "red"])
    repeated = {name: cache[name].repeat_interleave(2, dim=2) for name in cache}
    with pytest.raises(UsageError, match=r"expected \[row, position, 4 kv heads, 8\].*unrepeated"):
        from_cache(repeated, model, SENTENCES, WORDS)
    with pytest.raises(UsageError, match=r"keys holds 1 tensors"):
        from_projections([torch.zeros(1)], [torch.zeros(1)], model, SENTENCES, WORDS)
