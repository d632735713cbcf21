"""Swaps on minimal pairs: theorems on whole models, and a plain re-computation."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from probes.causal.edits import Edit, intervening
from probes.causal.minimal_pairs import batch_pairs, draw_matched_pairs, find_minimal_pairs
from probes.causal.swaps import MEASURES, Swap, Swapper, list_swaps
from probes.errors import TableError
from probes.models import build_model
from tests.architectures import build_hf
from tests.tiny import tiny_model, tiny_tokenizer

PAIRS = pd.DataFrame(
    [
        ("dog", "black", "white"),
        ("house", "red", "small"),
        ("tree", "big", "red"),
        ("fox", "a", "zq"),
    ],
    columns=["head", "m1", "m2"],
)
TEMPLATES = pd.DataFrame(
    [("t0", "The cat saw the {modifier} {head} and ran."), ("t1", "{a} {modifier} {head} is a")],
    columns=["template_id", "text"],
)


def find(model, templates=TEMPLATES[:1]):
    found, _ = find_minimal_pairs(model.tokenizer, PAIRS, templates)
    return found


def test_pairs_have_equal_counts_and_positions():
    tokenizer = tiny_tokenizer()
    found, losses = find_minimal_pairs(tokenizer, PAIRS, TEMPLATES)
    assert {(pair.row, pair.template_id) for pair in found} >= {(0, "t0"), (1, "t0"), (2, "t0")}
    assert "different numbers" in " ".join(losses.loc[losses["row"] == 3, "reason"])
    assert len(found) + len(losses) == 8
    for pair in found:
        assert len(pair.left) == len(pair.right)
        differ = [a != b for a, b in zip(pair.left, pair.right, strict=True)]
        assert any(differ)
        assert not any(differ[: pair.first] + differ[pair.last + 1 :])
        assert tokenizer.decode(pair.left[pair.last + 1 :]).strip() == PAIRS["head"][pair.row]
    for batch in batch_pairs(found, 2):
        assert len(batch) <= 2
        assert len({(len(p.left), p.first, p.last) for p in batch}) == 1
    with pytest.raises(TableError, match="none of the 1 pairs"):
        find_minimal_pairs(tokenizer, PAIRS[3:], TEMPLATES)


def test_matched_pairs_have_another_word_of_as_many_tokens():
    tokenizer = tiny_tokenizer()
    matched = draw_matched_pairs(tokenizer, PAIRS, seed=0)
    assert list(matched.columns) == list(PAIRS.columns)
    assert len(matched) >= 3
    for row in matched.itertuples():
        before = PAIRS[PAIRS["head"] == row.head]
        assert row.m1 in set(before["m1"])
        assert row.m2 not in set(before["m1"]) | set(before["m2"])
        lengths = [
            len(tokenizer(f" {w}", add_special_tokens=False)["input_ids"]) for w in (row.m1, row.m2)
        ]
        assert lengths[0] == lengths[1]
    assert matched.equals(draw_matched_pairs(tokenizer, PAIRS, seed=0))


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2", "bloom", "gemma3n", "gemma2"])
def test_swapping_everything_makes_the_other_sentence(name):
    """The head word sees nothing but the prefix, the swapped modifier and itself."""
    model = build_model(build_hf(name), tiny_tokenizer(), name=name)
    pairs = find(model)
    swapper = Swapper(model)
    both, keys = swapper.run(pairs, [Swap("both", "all"), Swap("keys", "all")])
    ids = torch.tensor([p.left for p in pairs]), torch.tensor([p.right for p in pairs])
    with torch.inference_mode():
        p, q = (torch.softmax(model.hf(input_ids=i)[0][:, -1].double(), 1) for i in ids)
    expected = (p - q).abs().sum(1) / 2
    torch.testing.assert_close(both[:, 0].double(), expected, atol=1e-4, rtol=1e-3)
    kl = ((p * (p / q).log()).sum(1) + (q * (q / p).log()).sum(1)) / 2
    torch.testing.assert_close(both[:, 1].double(), kl, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(both[:, 2], both[:, 3], atol=1e-3, rtol=1e-3)
    assert (keys[:, 0] > 0).all()
    assert not torch.allclose(keys[:, 0], both[:, 0])


def test_single_swaps_equal_single_runs_with_hand_made_donors():
    model = tiny_model("qwen2", n_layers=3)
    geometry = model.geometry
    pairs = find(model)
    swaps = list_swaps(model, parts_of_heads=("keys", "values", "both"))
    assert len(swaps) == 3 + 9 + 18
    found = Swapper(model, stacked_tokens=100).run(pairs, swaps)
    assert found.shape == (30, len(pairs), len(MEASURES))
    for number in (0, 1, 5, 7, 12, 13, 17, 22, 28):
        swap = swaps[number]
        for column, pair in enumerate(pairs):
            changes = [
                one_way(model, geometry, swap, pair, *sides)
                for sides in ((pair.left, pair.right), (pair.right, pair.left))
            ]
            expected = torch.tensor(changes).mean(0)
            ours = found[number, column]
            torch.testing.assert_close(ours[[0, 4]], expected, atol=1e-5, rtol=1e-3)


def one_way(model, geometry, swap, pair, own, donor):
    """Total variation of next tokens and of attention for one sentence, with eager attention."""
    kept, where = {}, slice(pair.first, pair.last + 1)

    def keep(made):
        kept[made.layer] = {"keys": made.keys, "values": made.values}
        return made.values

    def give(part):
        return lambda made: kept[made.layer][part][:, :, list(made.kv_heads)]

    heads = None if swap.kv_head is None else (swap.kv_head,)
    parts = ("keys", "values") if swap.part == "both" else (swap.part,)
    edits = [Edit(part, give(part), swap.layer, heads, positions=where) for part in parts]
    model.hf.set_attn_implementation("eager")
    with torch.inference_mode():
        with intervening(geometry, Edit("values", keep, positions=where)):
            model.hf(input_ids=torch.tensor([donor]))
        clean = model.hf(input_ids=torch.tensor([own]), output_attentions=True)
        with intervening(geometry, edits):
            swapped = model.hf(input_ids=torch.tensor([own]), output_attentions=True)
    model.hf.set_attn_implementation("sdpa")
    p, q = (torch.softmax(out.logits[0, -1], 0) for out in (clean, swapped))
    gaps = [
        (a[0, :, -1] - b[0, :, -1]).abs().sum(1) / 2
        for a, b in zip(clean.attentions, swapped.attentions, strict=True)
    ]
    return float((p - q).abs().sum() / 2), float(torch.stack(gaps).mean())


def test_values_alone_leave_the_attention_of_their_own_layer():
    model = tiny_model("llama", n_layers=3)
    pairs = find(model)
    swaps = [Swap("values", "layer", 1), Swap("keys", "layer", 1), Swap("values", "head", 2, 1)]
    found = dict(zip(swaps, Swapper(model).run(pairs, swaps), strict=True))
    edited = MEASURES.index("attention_edited")
    assert (found[swaps[0]][:, edited] == 0).all()
    assert (found[swaps[2]][:, edited] == 0).all()
    assert (found[swaps[1]][:, edited] > 0).all()
    assert (found[swaps[0]][:, MEASURES.index("attention")] > 0).all()  # a layer above
