"""Maps against numpy and sklearn; substitutions and sweeps against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.causal.edits import Edit, intervening
from probes.causal.losses import Scorer
from probes.causal.maps import Moments, fit_map
from probes.causal.substitute import (
    EDITED,
    KINDS,
    fit_at_once,
    fit_in_order,
    list_kinds,
    sum_layers,
)
from probes.causal.sweep import Sweep
from probes.causal.windows import cut_windows
from probes.errors import NonFiniteError, UsageError
from probes.models import build_model
from probes.words.texts import Document
from tests.architectures import build_hf
from tests.tiny import KNOWN_WORDS, tiny_model, tiny_tokenizer

FAMILIES = ("llama", "qwen3", "gpt2", "gpt_bigcode", "deepseek_v3", "gemma3n", "lfm2", "gemma4")


def make_model(name):
    return build_model(build_hf(name), tiny_tokenizer(), name=name)


def make_windows(model, *, seed=0, documents=5, length=13):
    random = np.random.default_rng(seed)
    texts = [
        Document(str(number), " ".join(random.choice(KNOWN_WORDS, 40 - 7 * number)))
        for number in range(documents)
    ]
    return cut_windows(model.tokenizer, texts, length=length, windows=2)


def draw(n=300, heads=3, d=9, seed=0):
    random = np.random.default_rng(seed)
    mix = random.normal(size=(heads, d, d))
    return np.einsum("nhd,hde->nhe", random.normal(size=(n, heads, d)), mix) + 50 * random.normal(
        size=(heads, d)
    )


def sum_up(vectors):
    moments = Moments()
    for part in np.array_split(vectors, 4):
        moments.update(torch.tensor(part))
    return moments


def test_the_map_is_numpys_least_squares():
    vectors = draw()
    found = fit_map(sum_up(vectors), slice(5), slice(5, 9))
    for head in range(3):
        source = np.c_[vectors[:, head, :5], np.ones(300)]
        expected = np.linalg.lstsq(source, vectors[:, head, 5:], rcond=None)[0]
        np.testing.assert_allclose(found.weights[head], expected[:5], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.bias[head], expected[5], rtol=1e-4, atol=1e-3)


@settings(deadline=None, max_examples=15)
@given(
    heads=st.integers(1, 3),
    d_source=st.integers(1, 5),
    d_target=st.integers(1, 6),
    cuts=st.lists(st.integers(0, 40), max_size=3),
    seed=st.integers(0, 999),
)
def test_an_affine_relation_is_found_whatever_the_batches(heads, d_source, d_target, cuts, seed):
    random = np.random.default_rng(seed)
    source = random.normal(size=(40, heads, d_source)) + 10 * random.normal(size=d_source)
    weights = random.normal(size=(heads, d_source, d_target))
    bias = random.normal(size=(heads, d_target))
    target = np.einsum("nhs,hst->nht", source, weights) + bias
    moments = Moments()
    for part in np.split(np.concatenate([source, target], axis=2), sorted(cuts)):
        moments.update(torch.tensor(part))
    found = fit_map(moments, slice(d_source), slice(d_source, d_source + d_target))
    np.testing.assert_allclose(found.weights, weights, atol=1e-3)
    ours = found(torch.tensor(source)[None], list(range(heads)))[0]
    np.testing.assert_allclose(ours, target, atol=1e-3)


@pytest.mark.parametrize("rank", [0, 1, 3, 5])
def test_top_directions_are_principal_component_regression(rank):
    vectors = draw()
    found = fit_map(sum_up(vectors), slice(5), slice(5, 9), rank=rank)
    for head in range(3):
        k = vectors[:, head, :5] - vectors[:, head, :5].mean(0)
        v = vectors[:, head, 5:] - vectors[:, head, 5:].mean(0)
        _, _, axes = np.linalg.svd(k, full_matrices=False)
        scores = k @ axes[:rank].T
        expected = axes[:rank].T @ np.linalg.lstsq(scores, v, rcond=None)[0]
        np.testing.assert_allclose(found.weights[head], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rank", [0, 1, 2, 4])
def test_best_directions_are_the_best_of_their_rank(rank):
    """The error of reduced-rank regression is that of the fitted values' truncated SVD."""
    vectors = draw()
    moments = sum_up(vectors)
    found = fit_map(moments, slice(5), slice(5, 9), rank=rank, directions="best")
    top = fit_map(moments, slice(5), slice(5, 9), rank=rank)
    for head in range(3):
        k = vectors[:, head, :5] - vectors[:, head, :5].mean(0)
        v = vectors[:, head, 5:] - vectors[:, head, 5:].mean(0)
        full = k @ np.linalg.lstsq(k, v, rcond=None)[0]
        left, sizes, right = np.linalg.svd(full, full_matrices=False)
        best = (left[:, :rank] * sizes[:rank]) @ right[:rank]
        weights = found.weights[head].double().numpy()
        assert np.linalg.matrix_rank(weights, tol=1e-4) == rank
        error = np.square(v - k @ weights).sum()
        np.testing.assert_allclose(error, np.square(v - best).sum(), rtol=1e-5)
        assert error <= np.square(v - k @ top.weights[head].double().numpy()).sum() * (1 + 1e-6)


def test_directions_that_do_not_vary_are_left_out():
    vectors = draw()
    vectors[..., 1] = vectors[..., 0]
    vectors[..., 2] = 3.0
    found = fit_map(sum_up(vectors), slice(5), slice(5, 9))
    source = np.c_[vectors[:, 0, :5], np.ones(300)]
    expected = source @ np.linalg.lstsq(source, vectors[:, 0, 5:], rcond=None)[0]
    ours = vectors[:, 0, :5] @ found.weights[0].numpy() + found.bias[0].numpy()
    np.testing.assert_allclose(ours, expected, atol=2e-2, rtol=1e-3)
    assert found.weights.abs().max() < 100


def test_moments_refuse_what_is_no_number():
    with pytest.raises(NonFiniteError):
        Moments().update(torch.full((2, 1, 3), float("nan")))
    with pytest.raises(UsageError, match="No vectors were summed"):
        fit_map(Moments(), slice(1), slice(1, 2))


def collect(model, windows, place, edits=()):
    """Keys and values of a layer at edited, real tokens, by hooks of this test's own."""
    layer, found = model.geometry.layers[place], {}

    def keep(_module, args, output):
        found["k"] = layer.key.split(output)
        found["v"] = layer.value.project(args[0])

    with torch.inference_mode(), intervening(model.geometry, list(edits)):
        handle = layer.key.module.register_forward_hook(keep)
        model.hf(**windows.inputs)
        handle.remove()
    real = windows.mask[:, 1:].bool()
    return found["k"][:, 1:][real].double().numpy(), found["v"][:, 1:][real].double().numpy()


def test_fits_at_once_and_in_order_are_those_of_numpy():
    model = tiny_model("qwen2", n_layers=3)
    windows = make_windows(model, length=17)
    sums = sum_layers(model, windows, tuple(KINDS), batch_size=3)
    at_once = fit_at_once(sums, "keys")
    in_order = fit_in_order(model, windows, "keys", resumes=True, batch_size=4)
    whole = fit_in_order(model, windows, "keys", resumes=False, batch_size=3)
    for place in range(3):
        for fit, edits in (
            (at_once, []),
            (in_order, [in_order.edit(p) for p in range(place)]),
        ):
            k, v = collect(model, windows, place, edits)
            for head in range(2):
                source = np.c_[k[:, head], np.ones(len(k))]
                expected = source @ np.linalg.lstsq(source, v[:, head], rcond=None)[0]
                ours = k[:, head] @ fit.maps[place].weights[head].double().numpy()
                ours += fit.maps[place].bias[head].numpy()
                np.testing.assert_allclose(ours, expected, atol=2e-4)
        torch.testing.assert_close(
            in_order.maps[place].weights, whole.maps[place].weights, atol=1e-3, rtol=1e-3
        )
    assert (in_order.maps[2].weights - at_once.maps[2].weights).abs().max() > 1e-2
    assert all((in_order.maps[0].weights == at_once.maps[0].weights).flatten())


@pytest.mark.parametrize("name", FAMILIES)
def test_every_kind_does_what_it_says(name):
    model = make_model(name)
    windows = make_windows(model)
    kinds = list_kinds(model.geometry.layers)
    assert ("other keys" in kinds) == (name != "gpt_bigcode")
    assert ("clamp" in kinds) == (name != "deepseek_v3")
    sums = sum_layers(model, windows, kinds, batch_size=2)
    for place, summing in sums.items():
        layer = model.geometry.layers[place]
        head = layer.n_kv_heads - 1
        for kind in kinds:
            fit = fit_at_once({place: summing}, kind)
            seen = {}

            def look(made, fit=fit, place=place, head=head, seen=seen):
                seen["new"] = fit.edit(place, (head,)).change(made)
                seen["k"], seen["v"] = made.keys, made.values
                return seen["v"]

            with torch.inference_mode():
                edit = Edit("values", look, layer=place, kv_heads=(head,), positions=EDITED)
                with intervening(model.geometry, edit):
                    model.hf(**windows.inputs)
            real = windows.mask[:, 1:].bool()
            new, k, v = (seen[part][real][:, 0].double() for part in ("new", "k", "v"))
            if kind == "clamp":
                assert torch.equal(new, k)
            elif kind == "mean":
                torch.testing.assert_close(new, v.mean(0).expand_as(new), atol=1e-4, rtol=1e-3)
            else:  # least squares: the residual is orthogonal to the target's fit, mean zero
                rest = (k if kind == "reverse" else v) - new
                target = k if kind == "reverse" else v
                assert rest.mean(0).abs().max() < 1e-3
                assert rest.square().sum() < (target - target.mean(0)).square().sum()
                product = (rest.mT @ new).abs().max() / target.square().sum()
                assert product < 1e-3


@pytest.mark.parametrize("name", FAMILIES)
def test_a_sweep_equals_the_loop_of_full_forwards(name):
    model = make_model(name)
    windows = make_windows(model)
    sums = sum_layers(model, windows, ["keys"], batch_size=3)
    fit = fit_at_once(sums, "keys")
    interventions = [
        [fit.edit(place, (head,))]
        for place in sums
        for head in range(model.geometry.layers[place].n_kv_heads)
    ]
    interventions += [[fit.edit(place)] for place in reversed(list(sums))]
    interventions.append([fit.edit(place) for place in sums])
    sweep = Sweep(model, stacked_tokens=200)
    assert sweep.resumes == (name not in ("gemma3n", "gemma4"))
    scorer = Scorer(model)
    for batch in windows.batches(4):
        baseline = sweep.begin(batch)
        found = sweep.run(baseline, interventions)
        with torch.inference_mode():
            plain = scorer.score(batch.ids, batch.mask)
            assert torch.equal(plain, baseline.losses)
            for edits, ours in zip(interventions, found, strict=True):
                with intervening(model.geometry, edits):
                    losses = scorer.score(batch.ids, batch.mask)
                expected = (losses * batch.scored).sum(1).double()
                torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-5)
                # Where keys are the values already, making values from keys changes nothing.
                tied = all(model.geometry.layers[e.layer].reuses_keys_as_values for e in edits)
                assert tied or (ours != baseline.sum_rows(plain)).any()
