"""What the hooks read against plain runs of whole, unpadded sentences, family by family."""

from __future__ import annotations

from collections import defaultdict

import pytest
import torch
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from probes.capture import Reader
from probes.capture.batch import BatchRunner
from probes.errors import UnsupportedModelError
from probes.models.tap import _taps
from tests.capture.examples import make_plan, read_all
from tests.tiny import ARCHITECTURES, tiny_model

STAGES = ("projected", "normed", "rotated")
CLOSE = {"atol": 2e-5, "rtol": 1e-4}


def run_whole(model, text):
    """Run one whole sentence with eager attention; return what plain hooks and HF itself give.

    q, k, v are [layer, head, position, d_head], "k" by stage; x is [layer, position, d_model].
    """
    geometry = model.geometry
    seen, handles = defaultdict(list), []

    def keep(name, split=lambda output: output, of_input=False):
        def hook(_module, args, output):
            seen[name].append(split(args[0] if of_input else output)[0].clone())

        return hook

    for how in geometry.layers:
        hooks = [
            (how.key.module, keep("x", of_input=True)),
            (how.query.module, keep("q", how.query.split)),
            (how.key.module, keep("projected", how.key.split)),
            (how.value.module, keep("v", how.value.split)),
        ]
        if how.key_norm is not None:
            hooks += [
                (how.query_norm.module, keep("q_normed")),
                (how.key_norm.module, keep("normed")),
            ]
        handles += [module.register_forward_hook(hook) for module, hook in hooks]
    tokens = model.tokenizer(text, return_tensors="pt", add_special_tokens=True)
    model.hf.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            output = model.hf(input_ids=tokens["input_ids"], output_attentions=True)
    finally:
        model.hf.set_attn_implementation("sdpa")
        for handle in handles:
            handle.remove()
    stacked = {name: torch.stack(parts) for name, parts in seen.items()}
    whole = {name: t if name == "x" else t.transpose(1, 2) for name, t in stacked.items()}
    whole.setdefault("normed", whole["projected"])
    whole["q"] = rotate(model, whole.pop("q_normed", whole["q"]))
    whole["rotated"] = rotate(model, whole["normed"])
    if output.get("past_key_values") is not None:
        cached = torch.cat([layer.keys for layer in output.past_key_values.layers])
        torch.testing.assert_close(whole["rotated"], cached, **CLOSE)
        whole["rotated"] = cached
    whole["attention"] = torch.cat(output.attentions)
    return whole


def rotate(model, vectors):
    """Turn [layer, head, position, d_head] as HF does, or leave it where there is no rotation."""
    rotation = model.geometry.rotation
    if rotation is None:
        return vectors
    positions = torch.arange(vectors.shape[2])[None]
    cos, sin = rotation.module(vectors, positions)
    turning, rest = vectors.split([cos.shape[-1], vectors.shape[-1] - cos.shape[-1]], dim=-1)
    turned, _ = apply_rotary_pos_emb(turning, turning, cos, sin)
    return torch.cat([turned, rest], dim=-1)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request):
    return tiny_model(request.param)


@pytest.fixture(scope="module")
def plan(model):
    return make_plan(model)


@pytest.fixture(scope="module")
def wholes(model, plan):
    return [run_whole(model, text) for text in plan.queries["sentence"]]


@pytest.mark.parametrize("stage", STAGES)
def test_reads_equal_plain_runs_of_whole_sentences(model, plan, wholes, stage):
    """k at every stage, v, x, x of the attending words, and attention weights."""
    sampled = frozenset({1, 4, 20})
    read = read_all(model, plan, key_stage=stage, sampled=sampled)
    occurrences = plan.occurrences.set_index("occurrence")
    n_layers, n_heads = model.geometry.n_layers, model.geometry.n_heads
    assert read["attention"].shape == (len(plan.queries), n_layers, n_heads)
    assert len(read["k"]) == len(plan.occurrences) < len(plan.queries) + (not model.geometry.causal)
    sampled_rows = iter(read["x_query"])
    for query, whole in zip(plan.queries.itertuples(), wholes, strict=True):
        at, row = occurrences.loc[query.occurrence, "last_token"], query.occurrence
        torch.testing.assert_close(read["k"][row], whole[stage][:, :, at], **CLOSE)
        torch.testing.assert_close(read["v"][row], whole["v"][:, :, at], **CLOSE)
        torch.testing.assert_close(read["x"][row], whole["x"][:, at], **CLOSE)
        weights = whole["attention"][:, :, query.position, at]
        torch.testing.assert_close(read["attention"][query.query], weights, **CLOSE)
        if query.query in sampled:
            torch.testing.assert_close(next(sampled_rows), whole["x"][:, query.position], **CLOSE)
    assert next(sampled_rows, None) is None


@pytest.mark.parametrize("stage", STAGES)
def test_mean_over_the_pieces(model, wholes, stage):
    plan = make_plan(model, take="mean")
    read = read_all(model, plan, key_stage=stage)
    occurrences = plan.occurrences.set_index("occurrence")
    for query, whole in zip(plan.queries.itertuples(), wholes, strict=True):
        row = occurrences.loc[query.occurrence]
        span = slice(row["first_token"], row["last_token"] + 1)
        found = {name: read[name][query.occurrence] for name in ("k", "v", "x")}
        torch.testing.assert_close(found["k"], whole[stage][:, :, span].mean(2), **CLOSE)
        torch.testing.assert_close(found["v"], whole["v"][:, :, span].mean(2), **CLOSE)
        torch.testing.assert_close(found["x"], whole["x"][:, span].mean(1), **CLOSE)


@pytest.mark.parametrize("stage", STAGES)
def test_query_moment_gives_the_squared_logits(model, plan, wholes, stage):
    """For one query: k' M k is the sum of its heads' squared logits on the attended word."""
    geometry = model.geometry
    if stage == "projected" and geometry.has_qk_norm:
        pytest.skip("no matrix undoes a norm")
    runner = BatchRunner(model, key_stage=stage)
    occurrences = plan.occurrences.set_index("occurrence")
    k = read_all(model, plan, key_stage=stage)["k"].double()
    with runner.attached():
        for sequence in plan.sequences[::4]:
            [(number, position, attended)] = sequence.queries
            whole, row = wholes[number], plan.queries.loc[number, "occurrence"]
            assert occurrences.loc[row, "last_token"] == attended
            keys = whole["rotated"].repeat_interleave(geometry.group_size, dim=1)
            q = whole["q"][:, :, position]
            logits = geometry.logit_scale * torch.einsum("lhd,lhpd->lhp", q, keys)
            visible = position + 1 if geometry.causal else keys.shape[2]
            weights = logits[..., :visible].softmax(-1)[..., attended]
            # These are HF's logits: they give its eager attention weights.
            expected = whole["attention"][:, :, position, attended]
            torch.testing.assert_close(weights, expected, **CLOSE)

            moment = torch.stack(runner.run([sequence]).query_moment)
            found = geometry.logit_scale**2 * torch.einsum(
                "lkd,lkde,lke->lk", k[row], moment, k[row]
            )
            squares = logits[..., attended].double().square()
            grouped = squares.unflatten(1, (geometry.n_kv_heads, geometry.group_size)).sum(2)
            torch.testing.assert_close(found, grouped, atol=1e-5, rtol=1e-3)


def test_query_moment_averages_over_queries_and_places(model, plan, wholes):
    """For any one key, put at every query's attended place: the mean squared logit."""
    geometry = model.geometry
    moment = read_all(model, plan, key_stage="normed")["query_moment"]
    key = torch.randn(geometry.n_layers, geometry.n_kv_heads, geometry.d_head)
    squares = torch.zeros(geometry.n_layers, geometry.n_kv_heads)
    for sequence in plan.sequences:
        [(number, position, attended)] = sequence.queries
        placed = rotate(model, key[:, :, None].expand(-1, -1, attended + 1, -1))[:, :, attended]
        q = wholes[number]["q"][:, :, position].unflatten(1, (geometry.n_kv_heads, -1))
        logits = geometry.logit_scale * torch.einsum("lkgd,lkd->lkg", q, placed)
        squares += logits.square().sum(2)
    found = geometry.logit_scale**2 * torch.einsum("lkd,lkde,lke->lk", key, moment.float(), key)
    torch.testing.assert_close(
        found / len(plan.queries), squares / len(plan.queries), atol=1e-5, rtol=1e-3
    )


def test_batches_and_prefixes_do_not_matter(model, plan):
    """Padded or alone, the prefix shared or run again."""
    reference = read_all(model, plan, batch_size=1, share_prefix=False, key_stage="normed")
    for options in ({"batch_size": 9}, {"batch_size": 9, "share_prefix": False}, {"batch_size": 1}):
        read = read_all(model, plan, key_stage="normed", **options)
        for name, expected in reference.items():
            torch.testing.assert_close(read[name], expected.to(read[name]), **CLOSE)


def test_silent_hooks_change_no_bit(model):
    ids = model.tokenizer("The black fox ran.", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        plain = model.hf(ids).logits
        with Reader(model, site=model.geometry.site, key_stage="normed").attached():
            hooked = model.hf(ids).logits
    assert torch.equal(plain, hooked)


def count_hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.hf.modules())


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_left_behind(model, plan, stage):
    runner = BatchRunner(model, key_stage=stage)
    before = count_hooks(model)  # transformers keeps some of its own, once asked for attentions

    def fail():
        with runner.attached():
            assert count_hooks(model) > before
            assert model.hf.config._attn_implementation == "kvprobes_sdpa"
            runner.run(plan.sequences[:1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert count_hooks(model) == before
    assert model.hf.config._attn_implementation == "sdpa"
    assert not _taps


def test_gathered_rows_pin_no_activation(plan, model):
    """What is kept is copied: its memory is that of the rows alone."""
    with (runner := BatchRunner(model, key_stage="normed")).attached():
        reading = runner.run(plan.sequences[:3])
    for name in ("k", "v", "x", "attention"):
        for tensor in getattr(reading, name):
            assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
            assert not tensor.requires_grad


def test_a_failed_run_does_not_reach_into_the_next(plan, model):
    runner = BatchRunner(model, key_stage="normed")
    expected = read_all(model, plan, key_stage="normed", batch_size=1)["k"][:1, 0]
    with runner.attached():
        broken = plan.sequences[0].__class__(
            (10**6,), 0, ((0, plan.sequences[0].occurrences[0][1]),), ()
        )
        with pytest.raises(UnsupportedModelError, match="index out of range"):
            runner.run([broken])
        torch.testing.assert_close(runner.run(plan.sequences[:1]).k[0], expected)


def test_a_model_that_is_both_tapped_and_not_keeps_them_apart():
    tapped, other = tiny_model("llama"), tiny_model("llama", seed=1)
    ids = torch.tensor([[1, 5, 9]])
    reader = Reader(tapped, site="decoder", key_stage="rotated")
    heard = []
    reader.on_attention = lambda layer, _: heard.append(layer)
    with torch.no_grad(), reader.attached():
        other.hf(ids)
        assert heard == []
        tapped.hf(ids)
    assert heard == [0, 1]


def test_other_kernels_are_refused():
    model = tiny_model("llama")
    model.hf.config._attn_implementation_internal = "flex_attention"
    with (
        pytest.raises(UnsupportedModelError, match="attends by 'flex_attention'"),
        Reader(model, site="decoder", key_stage="normed").attached(),
    ):
        pass
    assert count_hooks(model) == 0
