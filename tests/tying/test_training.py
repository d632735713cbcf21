"""Training: the schedule, the step, the same bytes twice, and going on from a checkpoint."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch

from probes.errors import NonFiniteError, StoreMismatchError, UsageError
from probes.tying.associative import AutoAssociative
from probes.tying.batch import NOT_SCORED, Batch
from probes.tying.checkpoint import load_checkpoint
from probes.tying.score import score
from probes.tying.shape import ModelShape
from probes.tying.training import TrainingSettings, make_optimiser, take_step, train
from probes.tying.transformer import Transformer
from probes.tying.variants import VARIANTS

TASK = AutoAssociative(items=2, cues=2, ring=8, reach=1)
SETTINGS = TrainingSettings(steps=12, batch_size=8, learning_rate=1e-2, evaluations=4)


def make_model(variant="per_head", seed=0):
    return Transformer(
        ModelShape(TASK.vocabulary, TASK.length, 8, 1, 2, 4, 16, variant, "none"), seed=seed
    )


def equal(first, second):
    return all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_the_rate_warms_up_and_falls_along_a_cosine():
    settings = TrainingSettings(steps=100, batch_size=1, learning_rate=2.0, warmup=0.1, final=0.2)
    rates = [settings.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * step for step in range(1, 11)])
    assert rates[10] == pytest.approx(2.0)
    assert rates[55] == pytest.approx((2.0 + 0.4) / 2)
    assert settings.rate(100) == pytest.approx(0.4)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))


def test_evaluations_are_spread_evenly_and_the_last_is_the_end():
    settings = TrainingSettings(steps=10, batch_size=1, learning_rate=1.0, evaluations=4)
    assert [step for step in range(11) if settings.is_evaluated(step)] == [2, 5, 8, 10]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_learns(variant):
    model = make_model(variant)
    before = score(model, TASK.unseen("test")).nats
    train(model, TASK, dataclasses.replace(SETTINGS, steps=40))
    assert score(model, TASK.unseen("test")).nats < before - 0.3


def test_a_step_is_adamw_with_decay_of_matrices_alone():
    """One step by hand: AdamW's first step moves every weight by its rate times the sign."""
    model, settings = make_model(), SETTINGS
    optimiser = make_optimiser(model, settings)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    batch = TASK.batch(0, size=8, seed=0)
    loss = take_step(model, model, optimiser, batch, settings)
    again = make_model()
    logits = again(batch.tokens)
    scored = batch.targets != NOT_SCORED
    expected = torch.nn.functional.cross_entropy(logits[scored], batch.targets[scored])
    assert float(loss) == pytest.approx(expected.item(), rel=1e-5)
    expected.backward()
    norm = torch.cat([p.grad.flatten() for p in again.parameters()]).norm()
    for (name, parameter), other in zip(model.named_parameters(), again.parameters(), strict=True):
        gradient = other.grad * min(1.0, settings.clip / float(norm))
        decay = settings.weight_decay if parameter.ndim == 2 else 0.0
        moved = before[name] * (1 - settings.learning_rate * decay)
        moved = moved - settings.learning_rate * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(parameter.detach(), moved, atol=1e-5, rtol=1e-4, msg=name)


def test_two_runs_are_the_same_to_the_bit_and_another_seed_is_not():
    models = [make_model() for _ in range(2)]
    logs = [train(model, TASK, SETTINGS).log for model in models]
    assert equal(*models)
    assert repr(logs[0]) == repr(logs[1])
    other = make_model()
    train(other, TASK, dataclasses.replace(SETTINGS, seed=1))
    assert not equal(models[0], other)


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("at", [1, 3, 4, 7, 9, 11])
def test_a_run_that_stops_goes_on_to_the_same_bytes(tmp_path, at):
    whole = make_model()
    expected = train(whole, TASK, SETTINGS, checkpoint=tmp_path / "whole").log
    done = 0

    def stop(steps):
        nonlocal done
        done += steps
        if done == at:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(make_model(), TASK, SETTINGS, checkpoint=tmp_path / "a", on_step=stop)
    heard: list[int] = []
    kept = at // 3 * 3
    resumed = make_model(seed=5 if kept else 0)  # weights are replaced where a checkpoint is
    progress = train(resumed, TASK, SETTINGS, checkpoint=tmp_path / "a", on_step=heard.append)
    assert equal(whole, resumed)
    assert repr(progress.log) == repr(expected)
    assert heard == [*([kept] if kept else []), *[1] * (12 - kept)]


def test_another_runs_checkpoint_is_refused_and_a_damaged_one_begins_anew(tmp_path):
    path = tmp_path / "checkpoint"
    train(make_model(), TASK, SETTINGS, checkpoint=path, identity="this")
    model = make_model()
    with pytest.raises(StoreMismatchError, match="another run"):
        load_checkpoint(path, model, make_optimiser(model, SETTINGS), identity="that")
    path.write_bytes(path.read_bytes()[:-40])
    heard = []
    train(model, TASK, SETTINGS, checkpoint=path, identity="this", on_step=heard.append)
    assert heard == [0, *[1] * SETTINGS.steps]
    assert load_checkpoint(path, model, make_optimiser(model, SETTINGS), identity="this")


def test_a_loss_that_explodes_is_refused():
    with pytest.raises(NonFiniteError, match="give a lower one"):
        train(make_model(), TASK, dataclasses.replace(SETTINGS, learning_rate=1e30, steps=30))


def test_bfloat16_comes_close():
    exact, rough = make_model(), make_model()
    train(exact, TASK, SETTINGS)
    train(rough, TASK, dataclasses.replace(SETTINGS, precision="bfloat16"))
    assert not equal(exact, rough)
    nats = [score(model, TASK.unseen("test")).nats for model in (exact, rough)]
    assert nats[0] == pytest.approx(nats[1], abs=0.1)


def test_scores_by_hand():
    model = make_model()
    batches = [TASK.batch(0, size=3, seed=0), TASK.batch(1, size=5, seed=0)]
    losses, right = [], []
    for batch in batches:
        log_p = model(batch.tokens).detach().log_softmax(-1)
        for row, place in (batch.targets != NOT_SCORED).nonzero().tolist():
            answer = int(batch.targets[row, place])
            losses.append(-float(log_p[row, place, answer]))
            right.append(int(log_p[row, place].argmax()) == answer)
    found = score(model, batches)
    assert found.nats == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert found.accuracy == sum(right) / len(right)
    assert found.bits_per_byte(2.0) == pytest.approx(found.nats / math.log(2) / 2)
    nothing = Batch(batches[0].tokens, torch.full_like(batches[0].targets, NOT_SCORED))
    with pytest.raises(UsageError, match="No token"):
        score(model, [nothing])


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="no more evaluations than steps"):
        TrainingSettings(steps=3, batch_size=1, learning_rate=0.1, evaluations=4)
    with pytest.raises(UsageError, match=r"learning rate is -0\.1"):
        TrainingSettings(steps=3, batch_size=1, learning_rate=-0.1, evaluations=1)
