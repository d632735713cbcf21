"""Keys as the logits use them, of models that norm keys after their rotation too."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from probes.errors import UsageError
from probes.models import build_model
from probes.reading.caches import from_past_key_values
from probes.reading.reader import read
from tests.architectures import build_hf
from tests.tiny import tiny_tokenizer

SENTENCE, WORDS = "The black dog and house ran.", ["dog", "house"]
LATE = ("hunyuan_dense", "nanochat", "llama4")


@pytest.fixture(scope="module", params=[*LATE, "qwen3"])
def model(request):
    return build_model(build_hf(request.param), tiny_tokenizer(), name=request.param)


@torch.no_grad()
def run_whole(model):
    model.hf.set_attn_implementation("eager")
    ids = model.tokenizer(SENTENCE, return_tensors="pt")["input_ids"]
    whole = DynamicCache()  # a model's own forgets what has left a window
    output = model.hf(input_ids=ids, output_attentions=True, past_key_values=whole)
    model.hf.set_attn_implementation("sdpa")
    return output


def test_they_are_those_of_the_cache_and_give_the_models_own_logits(model):
    """Two words, one query: the squared gap of keys is that of the logits, summed over heads."""
    output = run_whole(model)
    words = read(model, SENTENCE, WORDS, attending="ran", key_stage="attended")
    first, second = words.table["last_token"]
    query = len(model.tokenizer(SENTENCE)["input_ids"]) - 2
    for place, how in enumerate(model.geometry.layers):
        own = output.past_key_values.layers[place].keys[0].transpose(0, 1)
        torch.testing.assert_close(words.k[place], own[[first, second]], atol=1e-5, rtol=1e-5)
        gap = (words.k[place][0] - words.k[place][1]).double()
        squared = torch.einsum("kd,kde,ke->k", gap, words.key_metric[place], gap)
        weights = output.attentions[place][0, :, query].double()
        if how.chunk is not None and first // how.chunk != query // how.chunk:
            continue  # the query does not see them
        logits = (weights[:, first] / weights[:, second]).log().square()
        expected = logits.unflatten(0, (how.n_kv_heads, -1)).mean(1)
        torch.testing.assert_close(squared, expected, atol=1e-3, rtol=1e-3)


def test_normed_keys_and_queries_turned_back_give_the_same_logits(model):
    found = {}
    for stage in ("normed", "attended"):
        words = read(model, SENTENCE, WORDS[:1], attending="ran", key_stage=stage)
        pairs = zip(words.k, words.key_metric, strict=True)
        found[stage] = [
            torch.einsum("okd,kde,oke->k", k.double(), metric, k.double()) for k, metric in pairs
        ]
    for normed, attended in zip(found["normed"], found["attended"], strict=True):
        torch.testing.assert_close(normed, attended, atol=1e-5, rtol=1e-4)


def test_a_cache_holds_them(model):
    output = run_whole(model)
    past = output.past_key_values
    words = from_past_key_values(past, model, [SENTENCE], WORDS)
    is_late = model.name == "hunyuan_dense"  # the only one whose norm has weights
    assert words.about["key_stage"] == ("attended" if is_late else "rotated")
    ours = read(model, [SENTENCE], WORDS, key_stage="attended")
    torch.testing.assert_close(words.k, ours.k, atol=1e-5, rtol=1e-5)


def test_rotated_keys_are_refused_where_a_norm_with_weights_comes_after(model):
    if model.name != "hunyuan_dense":
        assert read(model, SENTENCE, WORDS, key_stage="rotated").k[0].shape[0] == len(WORDS)
        return
    with pytest.raises(UsageError, match="Give the key stage attended"):
        read(model, SENTENCE, WORDS, key_stage="rotated")
