import pytest
import torch

from probes.similarity import dissociation_ratio, representational_similarity
from probes.similarity.compare import PairComparison
from probes.similarity.resampled import resample_measures
from probes.stats import pair_weights, resample_words

TOPS = (0.05, 0.3)


def make_comparison(n_layers=3, n_heads=2, n_pairs=90, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (n_layers, n_heads, n_pairs)
    k, v, d_k, d_v = (torch.randn(*shape, generator=generator) for _ in range(4))
    return PairComparison(s_k=k, s_v=v + 0.5 * k, d_k=d_k, d_v=d_v + 0.5 * d_k)


def make_weights(n_pairs=90, resamples=70):
    left = torch.arange(n_pairs) % 30
    right = 30 + torch.arange(n_pairs) % 17
    return pair_weights(resample_words(47, resamples=resamples, seed=1), left, right)


@pytest.mark.parametrize("crossed", [True, False])
def test_every_combination_of_heads_equals_the_single_measures(crossed):
    comparison, weights = make_comparison(), make_weights()
    ratios, similarity = resample_measures(comparison, weights, tops=TOPS, crossed=crossed)
    assert ratios.shape == (2, 70, 3, 2, 2 if crossed else 1)
    for key_head in range(2):
        for place, value_head in enumerate([0, 1] if crossed else [key_head]):
            s_k, s_v = comparison.s_k[:, key_head], comparison.s_v[:, value_head]
            for number, top in enumerate(TOPS):
                alone = dissociation_ratio(s_k, s_v, top=top, weights=weights)
                got = ratios[number, :, :, key_head, place]
                torch.testing.assert_close(got, alone, atol=2e-4, rtol=0)
            alone = representational_similarity(
                comparison.d_k[:, key_head], comparison.d_v[:, value_head], weights=weights
            )
            got = similarity[:, :, key_head, place]
            torch.testing.assert_close(got, alone, atol=2e-5, rtol=0)


def test_a_pair_of_weight_zero_does_not_count():
    comparison = make_comparison()
    weights = torch.ones(1, 90)
    weights[:, 60:] = 0
    shorter = PairComparison(
        *(getattr(comparison, n)[..., :60] for n in ("s_k", "s_v", "d_k", "d_v"))
    )
    for whole, part in zip(
        resample_measures(comparison, weights, tops=TOPS, crossed=True),
        resample_measures(shorter, weights[:, :60], tops=TOPS, crossed=True),
        strict=True,
    ):
        torch.testing.assert_close(whole, part, atol=1e-5, rtol=0)
