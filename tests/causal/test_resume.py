"""Runs that begin in the middle, over the matrix; losses and windows against plain ones."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from probes.causal.losses import Scorer
from probes.causal.resume import Blocks, Stopped, can_resume
from probes.causal.windows import cut_windows
from probes.errors import TableError, UnsupportedModelError
from probes.models import build_model
from probes.models.sites import read_sites
from probes.words.texts import Document
from tests.architectures import MATRIX, build_hf, example_inputs
from tests.models.test_examine import REFUSED
from tests.tiny import tiny_model, tiny_tokenizer

CAUSAL = [n for n, entry in MATRIX.items() if n not in REFUSED and entry.kind == "causal"]
NOT_RESUMED = {"gemma3n", "gemma4", "openai_gpt"}  # found out by trying; they run whole


@pytest.mark.parametrize("name", CAUSAL)
def test_a_run_that_begins_in_the_middle_is_the_models_own(name):
    hf = build_hf(name)
    geometry = read_sites(hf)["decoder"]
    inputs = example_inputs(hf)
    assert can_resume(hf, geometry, inputs) == (name not in NOT_RESUMED)
    for module in Blocks(hf, geometry).modules:
        assert "forward" not in vars(module)
        assert not module._forward_hooks


def test_resuming_really_skips_and_stops():
    model = tiny_model("llama", n_layers=3)
    blocks = Blocks(model.hf, model.geometry)
    ids = torch.tensor([[1, 7, 30, 9, 12], [1, 8, 31, 10, 13]])
    with torch.inference_mode(), blocks.recording() as outputs:
        plain = model.hf(input_ids=ids, use_cache=False)[0]
    assert len(outputs) == 3
    with torch.inference_mode(), blocks.resuming(outputs[1], first=2, copies=2):
        ran = []
        handle = model.geometry.layers[1].module.register_forward_hook(lambda *_: ran.append(1))
        resumed = model.hf(input_ids=ids.flip(0).repeat(2, 1), use_cache=False)[0]
        handle.remove()
    assert not ran
    torch.testing.assert_close(resumed, plain.repeat(2, 1, 1))  # whatever the ids say
    with torch.inference_mode(), pytest.raises(Stopped), blocks.recording(upto=2) as some:
        model.hf(input_ids=ids, use_cache=False)
    assert len(some) == 2


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "granite", "cohere", "bloom"])
def test_losses_equal_cross_entropy_of_the_logits(name):
    hf = build_hf(name)
    model = build_model(hf, tiny_tokenizer(), name=name)
    ids = torch.cat([example_inputs(hf, seed=seed)["input_ids"] for seed in range(3)])
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    scorer = Scorer(model)
    assert scorer._is_plain == (name in ("llama", "gpt2", "bloom"))
    with torch.inference_mode():
        losses = scorer.score(ids, mask)
        logits = hf(input_ids=ids, attention_mask=mask)[0]
    expected = -torch.log_softmax(logits, -1)[:, :-1].gather(2, ids[:, 1:, None])[..., 0]
    torch.testing.assert_close(losses[:, :-1], expected, atol=1e-5, rtol=1e-5)
    assert (losses[:, -1] == 0).all()


def test_only_causal_models_are_scored():
    with pytest.raises(UnsupportedModelError, match="does not predict the next token"):
        Scorer(tiny_model("bert"))


def test_windows_score_neither_first_tokens_nor_padding_nor_specials():
    tokenizer = tiny_tokenizer(bos=True)
    documents = [
        Document("long", "the fox saw the dog and the cat ran and the tree is big and black"),
        Document("short", "a dog"),
        Document("middle", "the red house is small and the fox ran"),
    ]
    windows = cut_windows(tokenizer, documents, length=9, windows=2)
    assert windows.document.tolist() == [0, 0, 2]
    assert (windows.ids[:, 0] == tokenizer.bos_token_id).all()
    first = tokenizer(documents[0].text)["input_ids"]
    assert windows.ids[0].tolist() == first[:9]
    assert windows.ids[1, 1:9].tolist() == first[9:17][:8]
    lengths = windows.mask.sum(1).tolist()
    for row, length in enumerate(lengths):
        assert windows.scored[row].nonzero().flatten().tolist() == list(range(1, length - 1))
    cut = list(windows.batches(2))
    assert [len(batch) for batch in cut] == [2, 1]
    assert cut[1].ids.shape[1] == lengths[2]
    with pytest.raises(TableError, match="none of the 1 documents"):
        cut_windows(tokenizer, [Document("none", "a")], length=9, windows=1)


def test_windows_without_bos_keep_the_first_token_unscored():
    windows = cut_windows(
        tiny_tokenizer(bos=False), [Document("d", "the fox saw the dog " * 9)], length=12, windows=1
    )
    assert windows.scored[0].tolist() == [False, *[True] * 10, False]
    assert dataclasses.is_dataclass(windows)
