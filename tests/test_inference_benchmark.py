"""The simulation of `benchmarks.inference`: its data are what it says, and its lines add up."""

import pytest
import torch

from benchmarks import inference, inference_intervals, simulated
from benchmarks.cases import Case
from benchmarks.inference import Line
from probes.similarity.tieability import tieability
from probes.stats import word_folds


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for module in (simulated, inference_intervals):
        monkeypatch.setattr(module, "WORDS", 90)
        monkeypatch.setattr(module, "PAIRS", 160)


def test_heads_have_the_correlations_they_were_drawn_with():
    generator = torch.Generator().manual_seed(0)
    heads = simulated.draw_heads(2, [0.0, 0.8], generator, n_words=30_000, common=0.3)
    for head, expected in ((0, 0.0), (1, 0.8)):
        numbers = torch.stack([heads.keys[head, :, 3], heads.values[head, :, 3]])
        # The lengths are those of keys and of values, and blur the correlation: E[l]^2 / E[l^2].
        blurred = expected * 2.718281828 ** -(simulated.LENGTHS**2)
        assert float(numbers.corrcoef()[0, 1]) == pytest.approx(blurred, abs=0.02)
    between = torch.stack([heads.keys[0, :, 0], heads.keys[1, :, 0]]).corrcoef()[0, 1]
    assert float(between) == pytest.approx(0.3, abs=0.03)


def test_pairs_hold_different_words():
    left, right = simulated.draw_pairs(torch.Generator().manual_seed(0))
    assert len(left) == 160
    assert bool((left != right).all())
    assert int(left.max()) < 90


def test_the_expected_error_of_a_map_is_its_mean_error():
    generator = torch.Generator().manual_seed(1)
    heads = simulated.draw_heads(2, 0.6, generator, n_words=60)
    words = torch.arange(60)
    fold = word_folds(words, 5, 0)
    result = tieability(heads.keys, heads.values, words=words, seed=0)
    errors, totals = [], []
    for _ in range(300):
        fresh = simulated.draw_heads(2, 0.6, generator, n_words=60)
        maps = inference_intervals._fit_maps(heads, fresh, 0.6, result.penalty, fold)
        errors.append(maps.word_error.mean(1) * 5)
        totals.append(maps.word_total.mean(1) * 5)
    mean_error, mean_total = torch.stack(errors).mean(0), torch.stack(totals).mean(0)
    torch.testing.assert_close(mean_error, maps.expected_error, rtol=0.02, atol=0)
    torch.testing.assert_close(mean_total, maps.expected_total, rtol=0.02, atol=0)


def test_lines_are_means_over_rounds_and_do_not_depend_on_the_cores(monkeypatch):
    case = Case("a", "b", "c", (0.0, 0.3))

    def count(seed):
        return {case: torch.tensor([float(seed % 2), 1.0])}

    monkeypatch.setattr(inference, "PLAN", ((count, 9, 4),))
    monkeypatch.setattr(simulated, "find_truth", lambda effect: {})
    [line] = inference.simulate(quick=True, seed=0)
    assert line.rate == pytest.approx(0.75)  # rounds of .5, 1, .5, 1
    assert line.error == pytest.approx((4 / 3 * 0.25**2) ** 0.5 / 2)
    assert line.judge() == "**no**"
    assert Line(case, 0.31, 0.01, 4).judge() == "within error"
    assert Line(case, 0.3, 0.0, 4).judge() == "yes"
    assert Line(Case("a", "b", "c"), 0.9, 0.0, 4).judge() == ""
    assert inference.simulate(quick=True, seed=0) == [line]


@pytest.mark.parametrize(
    "count", [inference_intervals.count_means, inference_intervals.count_differences]
)
def test_rounds_count_shares(count, monkeypatch):
    monkeypatch.setattr(inference_intervals, "RESAMPLES", 20)
    truth = dict.fromkeys(("dissociation ratio (5 %)", "representational similarity"))
    monkeypatch.setattr(
        simulated, "find_truth", lambda effect: {name: torch.tensor(effect) for name in truth}
    )
    counts = count(3)
    assert len(counts) >= 3
    assert all(bool(((t >= 0) & (t <= 1)).all()) for t in counts.values())
    again = count(3)
    assert all(torch.equal(again[case], t) for case, t in counts.items())
