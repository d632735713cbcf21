from dataclasses import replace

import pytest
import torch

from probes.errors import UsageError
from probes.similarity.catalogue import find_measure
from probes.similarity.compare import PairComparison
from probes.similarity.resampled import resample_measures
from probes.stats import pair_weights, resample_words

RATIO, SIMILARITY = map(find_measure, ("dissociation_ratio_5%", "representational_similarity"))
SLOW = replace(SIMILARITY, name="without a form on ranks", ranked=None)
MEASURES = (RATIO, SIMILARITY, SLOW, find_measure("dissociation_ratio_10%"))


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
    found = resample_measures(comparison, weights, measures=MEASURES, crossed=crossed)
    assert list(found) == [measure.name for measure in MEASURES]
    for measure in MEASURES:
        got = found[measure.name]
        assert got.shape == (70, 3, 2, 2 if crossed else 1)
        keys, values = comparison.figures(measure.takes)
        for key_head in range(2):
            for place, value_head in enumerate([0, 1] if crossed else [key_head]):
                alone = measure.function(keys[:, key_head], values[:, value_head], weights=weights)
                near = 2e-5 if measure.takes is SIMILARITY.takes else 2e-4
                torch.testing.assert_close(
                    got[:, :, key_head, place], alone, atol=near, rtol=0, msg=measure.name
                )


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(UsageError, match="tieability is no number that resampled pairs give"):
        resample_measures(
            make_comparison(), make_weights(), measures=[find_measure("tieability")], crossed=True
        )


def test_a_pair_of_weight_zero_does_not_count():
    comparison = make_comparison()
    weights = torch.ones(1, 90)
    weights[:, 60:] = 0
    shorter = comparison.cut(slice(60))
    arguments = {"measures": MEASURES, "crossed": True}
    whole = resample_measures(comparison, weights, **arguments)
    part = resample_measures(shorter, weights[:, :60], **arguments)
    for name, samples in whole.items():
        torch.testing.assert_close(samples, part[name], atol=1e-5, rtol=0)
