"""Single words: what is read is what a plain forward pass of the sentence gives."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from probes.capture import CaptureSettings, capture, locate_words, plan_words
from probes.capture.plan_words import list_words
from probes.errors import AlignmentError
from probes.similarity.spaces import read_heads
from probes.words.relations import CONTROL
from tests.tiny import tiny_model, tiny_tokenizer

PAIRS = pd.DataFrame(
    [
        ("synonym", "n", "fox", "dog", "tree"),
        ("synonym", "n", "zest", "fox", ""),  # "zest" takes several pieces
        ("antonym", "a", "black", "white", "red"),
        ("antonym", "a", "fox", "small", "zest"),  # as an adjective too
    ],
    columns=["relation", "pos", "w1", "w2", CONTROL],
)
TEMPLATES = pd.DataFrame(
    [
        ("n0", "n", "The dog saw the {word} [and] ran."),
        ("n1", "n", "The {word} [quietly] ran."),  # the attending word takes several pieces
        ("a0", "a", "The fox is {word} [and] big."),
        ("a1", "a", "A {word} [tree] was big."),
    ],
    columns=["template_id", "pos", "text"],
)
WORDS = [
    *(("a", word) for word in ("black", "fox", "red", "small", "white", "zest")),
    *(("n", word) for word in ("dog", "fox", "tree", "zest")),
]


def test_every_word_in_every_template_of_its_part_of_speech():
    assert list_words(PAIRS) == WORDS
    plan = plan_words(tiny_tokenizer(), PAIRS, TEMPLATES)
    found = set(zip(plan.queries["template_id"], plan.queries["modifier"], strict=True))
    assert found == {(f"{pos}{n}", word) for pos, word in WORDS for n in (0, 1)}
    assert len(plan.occurrences) == len(plan.queries) == len(plan.sequences) == 20
    assert plan.losses.empty
    assert plan.settings == {"take": "last", "site": "decoder"}


def test_causal_sequences_end_at_the_attending_word_and_share_their_prefix():
    tokenizer = tiny_tokenizer()
    plan = plan_words(tokenizer, PAIRS, TEMPLATES)
    for sequence, query in zip(plan.sequences, plan.queries.itertuples(), strict=True):
        text = tokenizer.decode(sequence.ids, skip_special_tokens=True)
        assert text.endswith(f"{query.modifier} {query.head}")
        assert query.sentence.startswith(text)
        before = tokenizer.decode(sequence.ids[: sequence.prefix_length], skip_special_tokens=True)
        # Of a word of several pieces, the first may be the space alone.
        assert f"{before.rstrip()} {query.modifier} {query.head}" == text
        [(_, position, attended)] = sequence.queries
        assert position == len(sequence.ids) - 1
        [(_, span)] = sequence.occurrences
        assert attended == span.last


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bert"])
def test_captured_keys_and_values_are_those_of_a_direct_forward_pass(architecture, tmp_path):
    model = tiny_model(architecture, n_layers=3, n_heads=4, n_kv_heads=2)
    plan = plan_words(model.tokenizer, PAIRS, TEMPLATES, causal=model.geometry.causal)
    settings = CaptureSettings(dtype="float32", key_stage="projected")
    store = capture(model, plan, tmp_path / "capture-words", settings=settings, batch_size=3)
    occurrences = store.table("occurrences")
    projections = {
        "llama": lambda layer: (layer.self_attn.k_proj, layer.self_attn.v_proj),
        "gpt2": lambda layer: (layer.attn.c_attn,) * 2,
        "bert": lambda layer: (layer.attention.self.key, layer.attention.self.value),
    }[architecture]
    trunk = model.trunk
    layers = {"llama": "layers", "gpt2": "h"}.get(architecture)
    layers = getattr(trunk, layers) if layers else trunk.encoder.layer
    width = model.geometry.layers[0].n_kv_heads * 8
    heard: dict[tuple[int, str], torch.Tensor] = {}
    hooks = []
    for number, layer in enumerate(layers):
        for kind, module in zip("kv", projections(layer), strict=True):
            part = {"k": slice(width, 2 * width), "v": slice(2 * width, None)}[kind]
            part = part if architecture == "gpt2" else slice(None)

            def listen(_, __, output, number=number, kind=kind, part=part):
                heard[number, kind] = output[0, :, part]

            hooks.append(module.register_forward_hook(listen))
    try:
        for row in store.table("queries").itertuples():
            occurrence = occurrences.iloc[row.occurrence]
            ids = model.tokenizer(row.sentence, return_tensors="pt")["input_ids"]
            with torch.no_grad():
                trunk(ids)
            span = ids[0, occurrence["first_token"] : occurrence["last_token"] + 1]
            assert model.tokenizer.decode(span).strip().lower() == row.modifier
            for number in range(3):
                for kind in "kv":
                    mine = read_heads(store, kind, number)[:, row.occurrence]
                    own = heard[number, kind][occurrence["last_token"]].reshape(mine.shape)
                    torch.testing.assert_close(mine, own, atol=2e-5, rtol=1e-4)
    finally:
        for hook in hooks:
            hook.remove()


def test_words_are_located_by_part_of_speech():
    plan = plan_words(tiny_tokenizer(), PAIRS, TEMPLATES)
    found = locate_words(
        ["n", "a", "n", "v"], ["fox", "fox", "white", "fox"], plan.queries, TEMPLATES
    )
    assert found.shape == (4, 2)
    assert found[2:].tolist() == [[-1, -1]] * 2
    for row, pos in enumerate("na"):
        for column in (0, 1):
            occurrence = plan.occurrences.iloc[found[row, column]]
            assert (occurrence["word"], occurrence["template_id"]) == ("fox", f"{pos}{column}")
    assert locate_words([], [], plan.queries, TEMPLATES).shape == (0, 2)


def test_the_order_of_rows_does_not_matter():
    plan = plan_words(tiny_tokenizer(), PAIRS, TEMPLATES)
    other = plan_words(tiny_tokenizer(), PAIRS.iloc[::-1], TEMPLATES.iloc[::-1])
    assert other.sequences == plan.sequences
    pd.testing.assert_frame_equal(other.occurrences, plan.occurrences)


def test_what_cannot_be_captured_is_told():
    nouns = TEMPLATES[TEMPLATES["pos"] == "n"]
    plan = plan_words(tiny_tokenizer(), PAIRS, nouns)
    assert plan.losses["modifier"].tolist() == [word for pos, word in WORDS if pos == "a"]
    assert (plan.losses["reason"] == "there is no template for the part of speech 'a'").all()
    assert set(plan.queries["modifier"]) == {word for pos, word in WORDS if pos == "n"}
    with pytest.raises(AlignmentError, match="there is no sentence"):
        plan_words(tiny_tokenizer(), PAIRS.iloc[2:], nouns)


def test_a_prefix_stands_before_every_sentence():
    plan = plan_words(tiny_tokenizer(), PAIRS, TEMPLATES, causal=False, prefix="a small ")
    assert plan.queries["sentence"].str.startswith("a small ").all()
    assert not plan.occurrences["head"].isna().any()
