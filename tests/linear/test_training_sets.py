"""Fits and held-out errors from sums of cells are those of the occurrences themselves."""

import torch

from probes.linear.training_sets import HeldOutSets, TrainingSets
from probes.stats.ridge import FoldMoments

SETS = [(0, 1), (1, 2, 3)]
TESTS = [[(2,), (0, 3)], [(0,), (2,)]]  # of each set


def make():
    random = torch.Generator().manual_seed(0)
    keys = 5 + torch.randn(2, 90, 4, generator=random).double()
    values = keys @ torch.randn(4, 3, generator=random).double() - 2
    values = values + torch.randn(2, 90, 3, generator=random).double()
    cell = (torch.arange(90) // 7 % 4).sort().values
    return keys, values, cell, FoldMoments.of(keys, values, cell, 4)


def test_held_out_errors_are_sums_of_squares_around_the_predictions():
    keys, values, cell, moments = make()
    sets = TrainingSets.of(moments, SETS)
    weights = sets.solve(torch.tensor(0.3).double())
    intercept = sets.intercept(weights)
    error = HeldOutSets.of(moments, TESTS).error(weights, intercept)
    assert error.shape == (2, 2, 2, 3)
    for row in range(2):
        for place, (cells, tests) in enumerate(zip(SETS, TESTS, strict=True)):
            train = torch.isin(cell, torch.tensor(cells))
            level, mean = values[row, train].mean(0), keys[row, train].mean(0)
            centred = keys[row, train] - mean
            penalty = 0.3 * centred.square().sum() / 4
            system = centred.mT @ centred + penalty * torch.eye(4).double()
            fit = torch.linalg.solve(system, centred.mT @ (values[row, train] - level))
            torch.testing.assert_close(weights[row, place], fit)
            torch.testing.assert_close(intercept[row, place], level - mean @ fit)
            for number, held_out in enumerate(tests):
                mine = torch.isin(cell, torch.tensor(held_out))
                guess = level + (keys[row, mine] - mean) @ fit
                wanted = (values[row, mine] - guess).square().sum(0)
                torch.testing.assert_close(error[row, place, number], wanted)


def test_a_penalty_that_rounding_would_swallow_is_raised_and_constant_keys_get_no_weight():
    keys, values, cell, _ = make()
    twice = torch.cat([keys, keys], -1)  # of half the rank
    sets = TrainingSets.of(FoldMoments.of(twice, values, cell, 4), SETS)
    none = sets.solve(torch.tensor(0.0).double())
    assert bool(none.isfinite().all())
    assert float(none.abs().max()) < 100
    single = TrainingSets.of(FoldMoments.of(keys, values, cell, 4), SETS)
    wanted = single.solve(torch.tensor(0.0).double())
    torch.testing.assert_close(none[..., :4, :] + none[..., 4:, :], wanted, atol=1e-6, rtol=1e-6)
    flat = TrainingSets.of(FoldMoments.of(torch.ones_like(keys), values, cell, 4), SETS)
    assert float(flat.solve(torch.tensor(0.1).double()).abs().max()) < 1e-9
