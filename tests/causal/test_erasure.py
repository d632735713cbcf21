"""The loss with a property erased is that of a model whose projections are erased by hand."""

import pytest
import torch

from probes.causal import intervening, make_erasing_edits, measure_erasure_loss
from probes.errors import UnsupportedModelError, UsageError
from probes.linear import fit_eraser
from tests.tiny import tiny_model


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])  # separate and fused projections
@pytest.mark.parametrize("part", ["keys", "values"])
def test_loss_with_erasure_is_that_of_erased_projections(architecture, part):
    model = tiny_model(architecture)
    texts = ["the dog ran", "a small black house", "was the cat and the red fox big"]
    nothing = measure_erasure_loss(model, texts, {}, part=part)
    assert nothing.rise == 0
    ids = torch.tensor([model.tokenizer(texts[2])["input_ids"]])
    whole = torch.nn.functional.cross_entropy(model.hf(ids).logits[0, :-1], ids[0, 1:]).item()
    only = measure_erasure_loss(model, texts[2:], {}, part=part)
    assert only.clean == pytest.approx(whole, rel=1e-5)
    assert only.n_tokens == ids.shape[1] - 1
    layer = model.geometry.layers[1]
    projection = layer.key if part == "keys" else layer.value
    heads, width = projection.columns.shape
    x = torch.randn(heads, 40, width, generator=torch.Generator().manual_seed(0))
    eraser = fit_eraser(x, torch.arange(40) % 3)
    seen = {}

    def look(_module, inputs, output):
        seen["x"], seen["out"] = inputs[0], output

    with intervening(model.geometry, make_erasing_edits({1: eraser}, part=part)):
        hook = projection.module.register_forward_hook(look)
        model.hf(ids)
        hook.remove()
    wanted = eraser(projection.project(seen["x"][0]).transpose(0, 1)).transpose(0, 1)
    torch.testing.assert_close(projection.split(seen["out"][0]), wanted, atol=1e-4, rtol=1e-4)
    changed = measure_erasure_loss(model, texts, {1: eraser}, part=part)
    assert changed.clean == nothing.clean
    assert changed.rise != 0
    assert measure_erasure_loss(model, texts, {}, part=part).clean == nothing.clean


def test_only_the_words_of_the_spans_are_erased_and_what_follows_them_is_counted():
    model = tiny_model("llama")
    texts = ["the dog ran", "was the cat and the red fox big"]
    spans = [(1, 1), (2, 3)]
    layer = model.geometry.layers[0].value
    heads, width = layer.columns.shape
    x = torch.randn(heads, 40, width, generator=torch.Generator().manual_seed(0))
    eraser = fit_eraser(x, torch.arange(40) % 3)
    found = measure_erasure_loss(model, texts, {0: eraser}, part="values", spans=spans)
    lengths = [len(model.tokenizer(text)["input_ids"]) for text in texts]
    assert found.counts.tolist() == [lengths[0] - 2, lengths[1] - 3]
    for row, (text, (first, last)) in enumerate(zip(texts, spans, strict=True)):
        ids = torch.tensor([model.tokenizer(text)["input_ids"]])

        def erase(_module, _inputs, output, first=first, last=last):
            changed = output.clone()
            part = layer.split(output[0, first : last + 1]).transpose(0, 1)
            erased = eraser(part).transpose(0, 1)
            for head, columns in enumerate(layer.columns):
                changed[0, first : last + 1, columns] = erased[:, head]
            return changed

        for sums, hooks in ((found.clean_sums, ()), (found.erased_sums, (erase,))):
            handles = [layer.module.register_forward_hook(hook) for hook in hooks]
            logits = model.hf(ids).logits[0, first:-1].detach()
            for handle in handles:
                handle.remove()
            loss = torch.nn.functional.cross_entropy(logits, ids[0, first + 1 :], reduction="sum")
            assert float(sums[row]) == pytest.approx(float(loss), rel=1e-5)
    weights = torch.tensor([[1.0, 1.0], [0.0, 2.0]]).double()
    own = (found.erased_sums - found.clean_sums) / found.counts
    expected = [found.rise, float(own[1])]
    assert found.resample(weights).tolist() == pytest.approx(expected)
    again = measure_erasure_loss(
        model, texts, {0: eraser}, part="values", spans=spans, clean_sums=found.clean_sums + 1
    )
    assert again.rise == pytest.approx(found.rise - 2 / found.n_tokens)
    with pytest.raises(UsageError, match="1 spans for 2 texts"):
        measure_erasure_loss(model, texts, {}, part="values", spans=spans[:1])


def test_refuses():
    with pytest.raises(UnsupportedModelError, match="causal"):
        measure_erasure_loss(tiny_model("bert"), ["the dog"], {}, part="keys")
    model = tiny_model("llama")
    with pytest.raises(UsageError, match="layer 9 does not exist"):
        measure_erasure_loss(model, ["the dog"], {9: lambda x: x}, part="keys")
    with pytest.raises(UsageError, match="two tokens"):
        measure_erasure_loss(model, [""], {}, part="keys")
