"""Probes run on another device than the CPU, and give the CPU's answers."""

import pytest
import torch

from probes.linear import describe_online, draw_control_labels, fit_eraser, probe_labels
from probes.linear.evaluate import probe_numbers
from probes.linear.inputs import join_pairs
from probes.linear.logistic import LogisticProblem
from probes.stats import Splits, word_folds
from tests.linear.planted import plant
from tests.pretend_device import DEVICE, pretending


@pytest.fixture(scope="module")
def data():
    x, labels, words = plant(2.0, n_words=60, per_word=2, n_classes=3, d=5, heads=(2, 2))
    splits = Splits.of(word_folds(words, 3, seed=0), 3)
    return x.double(), labels, words, splits


def test_the_pretended_device_mixes_with_no_other():
    with pretending():
        there = torch.ones(3, 4).to(DEVICE)
        assert there.device.type == DEVICE
        assert (there * 2).sum().item() == 24
        assert there[:, torch.tensor([0, 1])].shape == (3, 2)
        with pytest.raises(RuntimeError, match="and of the CPU"):
            there + torch.ones(3, 4)
        with pytest.raises((RuntimeError, TypeError)):
            there.numpy()
        assert there.cpu().device.type == "cpu"


@pytest.mark.parametrize("probe", ["ridge", "logistic"])
def test_probes_of_labels(data, probe):
    x, labels, words, splits = data
    controls = draw_control_labels(labels, words, count=1, seed=0)
    options = {"splits": splits, "units": words, "controls": controls, "probe": probe}
    here = probe_labels(x, labels, **options)
    with pretending():
        there = probe_labels(x.to(DEVICE), labels, **options)
        torch.testing.assert_close(there.score.observed.cpu(), here.score.observed)
        torch.testing.assert_close(there.penalty.cpu(), here.penalty)


def test_probes_of_numbers(data):
    x, _, words, splits = data
    numbers = x[0, 1, :, 2] + x[1, 0, :, 0]
    here = probe_numbers(x, numbers, splits=splits, units=words)
    with pretending():
        there = probe_numbers(x.to(DEVICE), numbers, splits=splits, units=words)
        torch.testing.assert_close(there.score.observed.cpu(), here.score.observed)


def test_description_length_erasure_and_pairs(data):
    x, labels, words, _ = data
    here = describe_online(x, labels[None], words, penalties=(0.01, 1.0))
    eraser = fit_eraser(x, labels)
    pairs = torch.stack([torch.arange(0, 60), torch.arange(60, 120)], 1)
    with pretending():
        there = describe_online(x.to(DEVICE), labels[None], words, penalties=(0.01, 1.0))
        torch.testing.assert_close(there.bits.cpu(), here.bits)
        torch.testing.assert_close(there.accuracy.cpu(), here.accuracy)
        erased = fit_eraser(x.to(DEVICE), labels)(x.to(DEVICE))
        assert erased.device.type == DEVICE
        torch.testing.assert_close(erased.cpu(), eraser(x))
        torch.testing.assert_close(join_pairs(x.to(DEVICE), pairs).cpu(), join_pairs(x, pairs))


def test_the_logistic_solver_takes_its_start_from_the_cpu(data):
    x, labels, _, _ = data
    problem = LogisticProblem(x, labels[None], 3)
    penalty = 0.01 * problem.scale[..., None]
    fit = problem.solve(penalty)
    with pretending():
        other = LogisticProblem(x.to(DEVICE), labels[None].to(DEVICE), 3)
        again = other.solve(penalty.to(DEVICE), start=fit)
        torch.testing.assert_close(again.weights.cpu(), fit.weights, atol=1e-3, rtol=1e-3)
