"""Reading equals HF's own cache, the projections by hand, and a capture of the same sentences."""

import pandas as pd
import pytest
import torch

from probes.capture import CaptureSettings, plan_words
from probes.capture.run import capture
from probes.errors import AlignmentError, TableError, UsageError
from probes.reading import Words, read
from probes.similarity.spaces import read_metrics
from probes.words.word_templates import load_word_templates
from tests.reading.readings import SENTENCES, WORDS
from tests.tiny import ARCHITECTURES, tiny_model


def run_alone(model, sentence):
    ids = torch.tensor([model.tokenizer(sentence)["input_ids"]])
    with torch.inference_mode():
        return model.hf(input_ids=ids, output_hidden_states=True, use_cache=True)


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "bert"])
def test_rotated_keys_and_values_are_those_of_the_models_own_cache(architecture):
    model = tiny_model(architecture)
    words = read(model, SENTENCES, WORDS, key_stage="rotated", batch_size=2)
    assert len(words) == 4
    for row in words.table.itertuples():
        cache = run_alone(model, row.sentence).past_key_values
        for layer, own in enumerate(cache.layers):
            place = (0, slice(None), row.last_token)
            torch.testing.assert_close(
                words.k[layer][row.Index], own.keys[place], atol=1e-5, rtol=0
            )
            torch.testing.assert_close(
                words.v[layer][row.Index], own.values[place], atol=1e-5, rtol=0
            )


def test_projected_keys_queries_and_x_are_the_projections_by_hand():
    model = tiny_model("llama")
    words = read(model, SENTENCES, WORDS)
    seen = {}
    attention = model.hf.model.layers[1].self_attn
    attention.q_proj.register_forward_hook(lambda _, args, out: seen.update(x=args[0], q=out))
    attention.k_proj.register_forward_hook(lambda _, args, out: seen.update(k=out))
    for row in words.table.itertuples():
        run_alone(model, row.sentence)
        for name, shape in (("k", (2, 8)), ("q", (4, 8)), ("x", (24,))):
            expected = seen[name][0, row.last_token].reshape(shape)
            found = getattr(words, name)[1][row.Index]
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_queries_are_those_that_the_logits_use():
    """At the rotated stage, softmax(scale q k) of a word with itself is the model's own weight."""
    model = tiny_model("opt")
    words = read(model, SENTENCES[0], ["small"], key_stage="rotated")
    ids = torch.tensor([model.tokenizer(SENTENCES[0])["input_ids"]])
    model.hf.set_attn_implementation("eager")
    with torch.inference_mode():
        out = model.hf(input_ids=ids, output_attentions=True, use_cache=True)
    place = words.table["last_token"][0]
    keys = out.past_key_values.layers[1].keys[0, :, : place + 1]
    logits = torch.einsum("hd,hjd->hj", words.q[1][0], keys) * model.geometry.layers[1].logit_scale
    expected = out.attentions[1][0, :, place, : place + 1]
    torch.testing.assert_close(torch.softmax(logits, -1), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("key_stage", ["projected", "normed", "rotated"])
@pytest.mark.parametrize("architecture", ["qwen3", "bert", "phi"])
def test_reading_is_a_capture_of_the_same_sentences(architecture, key_stage, tmp_path):
    model = tiny_model(architecture)
    pairs = pd.DataFrame({"pos": ["n"], "w1": ["fox"], "w2": ["house"]})
    templates = load_word_templates(
        pd.DataFrame({"template_id": ["t"], "pos": ["n"], "text": ["The {word} [was] red of cat"]})
    )
    plan = plan_words(model.tokenizer, pairs, templates, causal=model.geometry.causal)
    store = capture(model, plan, tmp_path / "store", settings=CaptureSettings(key_stage=key_stage))
    words = read(
        model, "The {word} was red of cat", ["fox", "house"], attending="was", key_stage=key_stage
    )
    order = [list(store.table("occurrences")["word"]).index(word) for word in words.table["word"]]
    for layer, metrics in enumerate(read_metrics(store)):
        for name in ("k", "v", "x"):
            captured = store.read(name, layer)[order]
            torch.testing.assert_close(
                getattr(words, name)[layer], captured.float(), atol=0.02, rtol=0.02
            )
        torch.testing.assert_close(words.key_metric[layer], metrics.key, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(
            words.value_metric[layer].float(), metrics.value.float(), atol=1e-5, rtol=1e-5
        )


def test_the_key_metric_is_the_mean_of_every_query_that_sees_the_word():
    model = tiny_model("gpt2")  # no rotation: queries are what the projection gives
    words = read(model, SENTENCES[0], ["black"])
    seen = {}
    layer = model.geometry.layers[1]
    layer.query.module.register_forward_hook(lambda _, args, out: seen.update(q=out))
    run_alone(model, SENTENCES[0])
    queries = layer.query.split(seen["q"])[0, words.table["last_token"][0] + 1 :]
    expected = torch.einsum("thd,the->hde", queries.double(), queries.double()) / len(queries)
    expected = expected * layer.logit_scale**2
    torch.testing.assert_close(words.key_metric[1], expected, atol=1e-6, rtol=1e-5)
    assert words.about["queries"] == len(queries)


def test_the_mean_over_tokens_stands_for_a_word_of_several():
    model = tiny_model("llama")
    last = read(model, "The {word} fox ran", ["zest"], key_stage="rotated")
    mean = read(model, "The {word} fox ran", ["zest"], key_stage="rotated", take="mean")
    first, end = last.table["first_token"][0], last.table["last_token"][0]
    assert end > first
    keys = run_alone(model, "The zest fox ran").past_key_values.layers[0].keys[0]
    torch.testing.assert_close(last.k[0][0], keys[:, end], atol=1e-5, rtol=0)
    torch.testing.assert_close(mean.k[0][0], keys[:, first : end + 1].mean(1), atol=1e-5, rtol=0)


def test_the_order_of_the_table_is_kept_whatever_the_batches():
    model = tiny_model("llama")
    one, many = (read(model, SENTENCES, WORDS, batch_size=size) for size in (1, 32))
    assert one.table.equals(many.table)
    for layer in range(2):
        torch.testing.assert_close(one.k[layer], many.k[layer], atol=1e-5, rtol=0)


def test_a_transformers_model_and_a_bridge_are_read_as_ours_is():
    model = tiny_model("llama")
    ours = read(model, SENTENCES, WORDS)
    for source, options in ((model.hf, {"tokenizer": model.tokenizer}), (model.bridge, {})):
        theirs = read(source, SENTENCES, WORDS, **options)
        for layer in range(2):
            torch.testing.assert_close(theirs.k[layer], ours.k[layer], atol=1e-5, rtol=0)


def test_what_cannot_be_read_is_refused_with_the_line_to_write():
    model = tiny_model("llama")
    long = "The black tree " * 80
    with pytest.raises(AlignmentError, match=r"has \d+ tokens, and the model takes 128"):
        read(model, long, ["tree"])
    words = read(model, [long + "fox", "A fox ran of cat"], ["fox"])
    assert words.losses["reason"].str.contains("the model takes 128").tolist() == [True]
    assert len(words.table) == 1
    with pytest.raises(TableError, match=r"'dog' is before 'red'.*Put the attending word"):
        read(model, "A dog is red of cat", ["red"], attending="dog")
    with pytest.raises(TableError, match=r"occurs 0 times.*Leave attending out"):
        read(model, "A dog is red of cat", ["red"], attending="tree")
    with pytest.raises(UsageError, match=r"without its tokenizer. Write load_model"):
        read(model.hf, SENTENCES, WORDS)
    with pytest.raises(UsageError, match=r"a dict is no model"):
        read({}, SENTENCES, WORDS)


def test_a_word_that_nothing_follows_has_no_functional_space():
    model = tiny_model("llama")
    words = read(model, "The dog is {word}", ["black", "small", *"abcdefghij"])
    assert isinstance(words, Words)
    assert words.list_spaces() == ("raw", "centred")
    with pytest.raises(UsageError, match=r"functional space is not available: no query"):
        words.keys(0, "functional")
