from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from probes.errors import UsageError
from probes.similarity import (
    disattenuated_similarity,
    representational_similarity,
    template_reliability,
)
from probes.similarity.compare import compare_pairs, compare_templates
from probes.stats import PairBootstrap, spearman_brown


def make_figures(templates=3, heads=2, pairs=30, seed=0, noise=1.0):
    random = torch.Generator().manual_seed(seed)
    truth = torch.randn(heads, pairs, generator=random)
    return truth + noise * torch.randn(templates, heads, pairs, generator=random)


def test_reliability_and_disattenuation_equal_a_loop():
    keys, values = make_figures(), make_figures(seed=0, noise=0.7)
    rho = lambda a, b: spearmanr(a.numpy(), b.numpy()).statistic  # noqa: E731
    for head in range(2):
        r_k, r_v = (
            np.mean([rho(f[a, head], f[b, head]) for a, b in combinations(range(3), 2)])
            for f in (keys, values)
        )
        across = np.mean(
            [rho(keys[a, head], values[b, head]) for a, b in permutations(range(3), 2)]
        )
        assert float(template_reliability(keys)[head]) == pytest.approx(r_k)
        found = disattenuated_similarity(keys, values)[head]
        assert float(found) == pytest.approx(across / (r_k * r_v) ** 0.5)


def test_noise_common_to_keys_and_values_is_not_agreement():
    random = torch.Generator().manual_seed(2)
    key, value = torch.randn(2, 1, 20_000, generator=random)
    common = torch.randn(4, 1, 20_000, generator=random)  # what a template does to both
    keys, values = key + common, value + common
    assert abs(float(disattenuated_similarity(keys, values))) < 0.05
    assert float(representational_similarity(keys[0], values[0])) > 0.4
    stable = 0.6 * key + 0.8 * value
    assert float(disattenuated_similarity(keys, stable + common)) == pytest.approx(0.6, abs=0.05)


def test_the_reliability_of_means_is_what_noise_leaves_of_a_perfect_similarity():
    random = torch.Generator().manual_seed(9)
    truth, *noise = torch.randn(7, 1, 40_000, generator=random)
    keys, values = truth + torch.stack(noise[:3]), truth + 2 * torch.stack(noise[3:])
    reliability = [spearman_brown(template_reliability(figures), 3) for figures in (keys, values)]
    observed = representational_similarity(keys.mean(0), values.mean(0))
    assert float(observed) == pytest.approx(
        float((reliability[0] * reliability[1]).sqrt()), abs=0.02
    )
    assert float(disattenuated_similarity(keys, values)) == pytest.approx(1, abs=0.05)


def test_reliabilities_can_be_resampled():
    left, right = torch.arange(30) % 12, 12 + torch.arange(30) % 7
    bootstrap = PairBootstrap.draw(left, right, resamples=8, seed=0)
    figures = make_figures()
    estimate = bootstrap.estimate(template_reliability, figures)
    assert estimate.by_word.shape == (8, 2)
    ones = template_reliability(figures, weights=torch.ones(1, 30))
    torch.testing.assert_close(ones[0], template_reliability(figures))
    same = make_figures(templates=1).expand(3, -1, -1)
    assert template_reliability(same).tolist() == pytest.approx([1, 1])
    with pytest.raises(UsageError, match="at least 2 templates"):
        template_reliability(figures[:1])


def test_templates_average_to_the_comparison():
    random = torch.Generator().manual_seed(1)
    keys, values = torch.randn(2, 20, 3, generator=random), torch.randn(2, 20, 5, generator=random)
    left, right = torch.randint(20, (2, 7, 4), generator=random)
    each = compare_templates(keys, values, left, right)
    whole = compare_pairs(keys, values, left, right)
    for name in ("s_k", "s_v", "d_k", "d_v"):
        assert getattr(each, name).shape == (4, 2, 7)
        torch.testing.assert_close(getattr(each, name).mean(0), getattr(whole, name))
