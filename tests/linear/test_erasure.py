import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from probes.errors import NonFiniteError, UsageError
from probes.linear import LogisticProblem, fit_eraser, probe_labels
from probes.linear.erasure_loss import erasing, measure_erasure_loss
from probes.stats import Splits, word_folds
from tests.linear.planted import plant
from tests.tiny import tiny_model

with warnings.catch_warnings():  # it compiles by torch.jit.script, which torch 2.13 warns about
    warnings.simplefilter("ignore", DeprecationWarning)
    from concept_erasure import LeaceFitter


def make_data(n_classes=4):
    x, labels, words = plant(3.0, n_words=150, n_classes=n_classes, d=7, heads=(2, 3))
    turn = torch.randn(7, 7, generator=torch.Generator().manual_seed(1))
    return (x @ turn + 5).double(), labels, words


def test_is_the_packages_leace_head_by_head():
    x, labels, _ = make_data()
    erased = fit_eraser(x, labels)(x)
    z = torch.nn.functional.one_hot(labels).double()
    for head in np.ndindex(2, 3):
        theirs = LeaceFitter(
            7, 4, dtype=torch.float64, shrinkage=False, svd_tol=1e-9, constrain_cov_trace=False
        )
        theirs.update(x[head], z)
        torch.testing.assert_close(erased[head], theirs.eraser(x[head]))


def test_nothing_is_left_to_learn():
    x, labels, words = make_data()
    eraser = fit_eraser(x, labels)
    assert eraser.rank.tolist() == [[3] * 3] * 2
    erased = eraser(x)
    z = torch.nn.functional.one_hot(labels).double()
    covariance = (erased - erased.mean(-2, keepdim=True)).mT @ (z - z.mean(0))
    assert float(covariance.abs().max()) < 1e-8
    # The best logistic probe, trained on the same vectors, is the constant one.
    problem = LogisticProblem(erased, labels[None], 4)
    fit = problem.solve((1e-6 * problem.scale)[..., None], tolerance=1e-14)
    assert float(fit.weights.abs().max()) < 1e-4
    theirs = LogisticRegression(C=1e6, tol=1e-8).fit(erased[1, 2].numpy(), labels.numpy())
    assert np.ptp(theirs.predict_proba(erased[1, 2].numpy()), axis=0).max() < 0.02
    # Nor on words it was not trained on.
    splits = Splits.of(word_folds(words, 5, 0), 5)
    before, after = (
        probe_labels(v, labels, splits=splits, units=words).score.observed for v in (x, erased)
    )
    assert float(before.min()) > 0.8
    assert float(after.max()) < 0.3


def test_moves_the_vectors_least_and_their_mean_not_at_all():
    x, labels, _ = make_data()
    erased = fit_eraser(x, labels)(x)
    torch.testing.assert_close(erased.mean(-2), x.mean(-2))
    # So does projecting the class means' directions away, at a greater price.
    z = torch.nn.functional.one_hot(labels).double()
    centred = x - x.mean(-2, keepdim=True)
    u, size, _ = torch.linalg.svd(centred.mT @ (z - z.mean(0)), full_matrices=False)
    u = u * (size > 1e-9 * size[..., :1])[..., None, :]
    projected = x - centred @ u @ u.mT
    moved, more = ((v - x).square().sum((-2, -1)) for v in (erased, projected))
    assert bool((moved < 0.99 * more).all())
    again = fit_eraser(erased, labels)
    torch.testing.assert_close(again(erased), erased)


def test_numbers_and_constant_directions():
    x, labels, _ = make_data()
    flat = torch.cat([x, torch.ones_like(x[..., :2])], -1)
    number = (x[0, 0, :, :1] + labels[:, None]).double()
    erased = fit_eraser(flat, number)(flat)
    assert bool(erased.isfinite().all())
    centred = erased - erased.mean(-2, keepdim=True)
    assert float((centred.mT @ (number - number.mean(0))).abs().max()) < 1e-7
    assert float((erased[..., 7:] - 1).abs().max()) < 1e-9


def test_refuses():
    x, labels, _ = make_data()
    with pytest.raises(UsageError, match="one each"):
        fit_eraser.__wrapped__(x, labels[1:])
    with pytest.raises(NonFiniteError, match="inputs"):
        fit_eraser(x / 0, labels)
    bert = tiny_model("bert")
    with pytest.raises(UsageError, match="causal"):
        measure_erasure_loss(bert, ["the dog"], {}, what="k")


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])  # separate and fused projections
@pytest.mark.parametrize("what", ["k", "v"])
def test_loss_with_erasure_is_that_of_erased_projections(architecture, what):
    model = tiny_model(architecture)
    texts = ["the dog ran", "a small black house", "was the cat and the red fox big"]
    nothing = measure_erasure_loss(model, texts, {}, what=what)
    assert nothing.rise == 0
    ids = torch.tensor([model.tokenizer(texts[2])["input_ids"]])
    whole = torch.nn.functional.cross_entropy(model.hf(ids).logits[0, :-1], ids[0, 1:]).item()
    only = measure_erasure_loss(model, texts[2:], {}, what=what)
    assert only.clean == pytest.approx(whole, rel=1e-5)
    assert only.n_tokens == ids.shape[1] - 1
    layer = model.geometry.layers[1]
    projection = layer.key if what == "k" else layer.value
    heads, width = projection.columns.shape
    x = torch.randn(heads, 40, width, generator=torch.Generator().manual_seed(0))
    eraser = fit_eraser(x, torch.arange(40) % 3)
    seen = {}

    def look(_module, inputs, output):
        seen["x"], seen["out"] = inputs[0], output

    with erasing(model, {1: eraser}, what=what):
        hook = projection.module.register_forward_hook(look)
        model.hf(ids)
        hook.remove()
    wanted = eraser(projection.project(seen["x"][0]).transpose(0, 1)).transpose(0, 1)
    torch.testing.assert_close(projection.split(seen["out"][0]), wanted, atol=1e-4, rtol=1e-4)
    changed = measure_erasure_loss(model, texts, {1: eraser}, what=what)
    assert changed.clean == nothing.clean
    assert changed.rise != 0
    assert measure_erasure_loss(model, texts, {}, what=what).clean == nothing.clean


def test_only_the_words_of_the_spans_are_erased_and_what_follows_them_is_counted():
    model = tiny_model("llama")
    texts = ["the dog ran", "was the cat and the red fox big"]
    spans = [(1, 1), (2, 3)]
    layer = model.geometry.layers[0].value
    heads, width = layer.columns.shape
    x = torch.randn(heads, 40, width, generator=torch.Generator().manual_seed(0))
    eraser = fit_eraser(x, torch.arange(40) % 3)
    found = measure_erasure_loss(model, texts, {0: eraser}, what="v", spans=spans)
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
        model, texts, {0: eraser}, what="v", spans=spans, clean_sums=found.clean_sums + 1
    )
    assert again.rise == pytest.approx(found.rise - 2 / found.n_tokens)
    with pytest.raises(UsageError, match="1 spans for 2 texts"):
        measure_erasure_loss(model, texts, {}, what="v", spans=spans[:1])
