"""Following words through a translation, on tiny models and on made-up attention."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
import torch
from transformers import GenerationConfig

from probes.capture import capture, plan_translation, translate
from probes.capture.batch import BatchRunner
from probes.capture.plan_translation import find_translated
from probes.capture.run import CaptureSettings
from probes.capture.translate import Translation
from probes.errors import UnsupportedModelError
from probes.models import build_model
from probes.words.align import TokenSpan
from tests.architectures import build_hf
from tests.capture.examples import PAIRS, TEMPLATES, hash_folder
from tests.tiny import tiny_model, tiny_tokenizer

SITES = ("encoder", "decoder", "cross")


def tiny_translator(name="marian"):
    hf = build_hf(name)
    start = hf.config.decoder_start_token_id
    hf.generation_config = GenerationConfig(
        decoder_start_token_id=0 if start is None else start, eos_token_id=2, pad_token_id=0
    )
    return build_model(hf, tiny_tokenizer(bos=False, eos=True), name=f"tiny-{name}")


@pytest.fixture(scope="module", params=["marian", "t5"])
def model(request):
    return tiny_translator(request.param)


@pytest.fixture(scope="module")
def plans(model):
    return plan_translation(
        model,
        PAIRS,
        TEMPLATES,
        translate=lambda sources: translate(model, sources, longest=9, batch_size=4),
    )


def test_the_token_that_either_kind_of_layer_points_to():
    """Early layers look at what is read in (position 3), late ones at what is written next."""
    attention = torch.full((4, 6, 5), 0.01)
    attention[:2, 3, 1:3] = 0.4
    attention[2:, 2, 1:3] = 0.4
    token, score = find_translated(Translation((0,) * 6, attention), TokenSpan(1, 2))
    assert token == 3
    assert score == pytest.approx(0.8)


def test_translations_are_those_of_each_sentence_alone(model):
    sources = [tuple(model.tokenizer(text)["input_ids"]) for text in ("The fox ran", "a big dog")]
    together = translate(model, sources, longest=7)
    for source, found in zip(sources, together, strict=True):
        out = model.hf.generate(
            torch.tensor([source]), num_beams=1, do_sample=False, max_new_tokens=7
        )[0].tolist()
        expected = out[: out.index(2)] if 2 in out[1:] else out
        assert list(found.ids) == expected
        assert found.attention.shape == (
            model.at("cross").n_layers,
            len(found.ids),
            len(source),
        )
        model.hf.set_attn_implementation("eager")
        with torch.no_grad():
            own = model.hf(
                input_ids=torch.tensor([source]),
                decoder_input_ids=torch.tensor([found.ids]),
                output_attentions=True,
            ).cross_attentions
        model.hf.set_attn_implementation("sdpa")
        mean = torch.stack([layer[0].mean(0) for layer in own])
        torch.testing.assert_close(found.attention, mean, atol=2e-3, rtol=2e-3)


def test_parts_are_kept_and_made_anew_when_they_are_damaged(model, tmp_path):
    sources = [tuple(model.tokenizer("The fox ran")["input_ids"])]
    first = translate(model, sources, folder=tmp_path, longest=5)
    [part] = tmp_path.glob("*.json")
    kept = part.read_bytes()
    part.write_text("{", encoding="utf-8")
    assert translate(model, sources, folder=tmp_path, longest=5)[0].ids == first[0].ids
    assert part.read_bytes() == kept


def test_where_each_site_reads(model, plans):
    assert tuple(plans) == SITES
    for site, plan in plans.items():
        assert plan.settings["site"] == site
        assert len(plan.occurrences) == len(plan.queries) == len(plan.sequences) > 8
        for sequence in plan.sequences:
            [(_, span)], [(_, position, attended)] = sequence.occurrences, sequence.queries
            of_keys = sequence.target if site == "decoder" else sequence.ids
            of_queries = sequence.ids if site == "encoder" else sequence.target
            assert attended == span.last < len(of_keys)
            assert 0 <= position < len(of_queries)
            if site == "decoder":
                assert position >= attended >= 1


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("stage", ["projected", "normed", "rotated"])
def test_what_is_read_is_what_plain_hooks_see(model, plans, site, stage):
    geometry, plan = model.at(site), plans[site]
    runner = BatchRunner(model, site=site, key_stage=stage)
    with runner.attached():
        reading = runner.run(plan.sequences[:5])
    for row, sequence in enumerate(plan.sequences[:5]):
        seen = {}
        handles = [
            module.register_forward_hook(
                lambda _m, args, out, seen=seen, key=(kind, layer): seen.update(
                    {key: (args[0], out)}
                )
            )
            for layer, how in enumerate(geometry.layers)
            for kind, module in (
                ("k", how.key.module),
                ("v", how.value.module),
                ("q", how.query.module),
            )
        ]
        with torch.no_grad():
            model.hf(
                input_ids=torch.tensor([sequence.ids]),
                decoder_input_ids=torch.tensor([sequence.target]),
            )
        for handle in handles:
            handle.remove()
        [(_, span)], [(_, position, _)] = sequence.occurrences, sequence.queries
        for layer, how in enumerate(geometry.layers):
            x, keys = seen["k", layer]
            close = {"atol": 2e-5, "rtol": 1e-4}
            torch.testing.assert_close(reading.x[layer][row], x[0, span.last], **close)
            torch.testing.assert_close(
                reading.k[layer][row], how.key.split(keys)[0, span.last], **close
            )
            values = how.value.split(seen["v", layer][1])[0, span.last]
            torch.testing.assert_close(reading.v[layer][row], values, **close)
            if row == 0:
                alone = BatchRunner(model, site=site, key_stage=stage)
                with alone.attached():
                    moment = alone.run([sequence]).query_moment[layer]
                q = how.query.split(seen["q", layer][1])[0, position].double()
                expected = torch.einsum("hd,he->hde", q, q)
                torch.testing.assert_close(moment, expected, atol=1e-4, rtol=1e-3)


def test_attention_at_the_cross_site_is_the_models_own(model, plans):
    runner = BatchRunner(model, site="cross", key_stage="normed")
    with runner.attached():
        reading = runner.run(plans["cross"].sequences[:3])
    model.hf.set_attn_implementation("eager")
    for row, sequence in enumerate(plans["cross"].sequences[:3]):
        [(_, position, attended)] = sequence.queries
        with torch.no_grad():
            own = model.hf(
                input_ids=torch.tensor([sequence.ids]),
                decoder_input_ids=torch.tensor([sequence.target]),
                output_attentions=True,
            ).cross_attentions
        for layer, weights in enumerate(own):
            torch.testing.assert_close(
                reading.attention[layer][row],
                weights[0, :, position, attended],
                atol=2e-5,
                rtol=1e-3,
            )
    model.hf.set_attn_implementation("sdpa")


@pytest.mark.parametrize("site", SITES)
def test_a_capture_at_each_site_and_the_same_bytes_again(model, plans, site, tmp_path):
    settings = CaptureSettings(dtype="float32", query_sample=5)
    for name, batch_size in (("a", 4), ("b", 64)):
        store = capture(
            model, plans[site], tmp_path / name, settings=settings, batch_size=batch_size
        )
        assert store.manifest["geometry"]["site"] == site
        assert store.read("x_query", 0).shape[0] == 5
    again = capture(model, plans[site], tmp_path / "c", settings=settings, batch_size=4)
    assert hash_folder(again.folder) == hash_folder(tmp_path / "a")


def test_a_prefix_shifts_every_word(model):
    prefixed = dataclasses.replace(model, source_prefix="a tree: ")
    plain, shifted = (
        plan_translation(
            m, PAIRS.head(1), TEMPLATES.head(1), translate=lambda s, m=m: translate(m, s, longest=5)
        )["encoder"]
        for m in (model, prefixed)
    )
    gap = len(model.tokenizer("a tree:", add_special_tokens=False)["input_ids"])
    moved = shifted.occurrences["first_token"] - plain.occurrences["first_token"]
    assert moved.tolist() == [gap] * len(moved)
    assert shifted.occurrences["pieces"].tolist() == plain.occurrences["pieces"].tolist()
    assert shifted.queries["sentence"].str.startswith("a tree: ").all()


def test_a_model_without_a_decoder_that_reads():
    with pytest.raises(UnsupportedModelError, match="no decoder that reads an encoder"):
        translate(tiny_model("gpt2"), [(1, 2)])


def test_the_table_of_queries_tells_what_was_taken(model, plans):
    queries: pd.DataFrame = plans["cross"].queries
    assert {"written", "weight", "translation"} <= set(queries.columns)
    assert queries["weight"].between(0, 1.001).all()
