from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.capture.located import DistinctWords
from probes.errors import NonFiniteError, UsageError
from probes.similarity import dissociation_ratio, representational_similarity, shuffle_pairs
from probes.similarity.catalogue import find_measure, list_pair_measures
from probes.similarity.compare import compare_pairs
from probes.similarity.dissociation import deal_ratio
from probes.similarity.representational import deal_similarity
from probes.similarity.shuffled import DealtPairs, distance_levels
from probes.stats import permute_words


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    levels=st.sampled_from([2, 5, 2000]),
    n_pairs=st.sampled_from([2, 17, 40]),
    top=st.sampled_from([0.01, 0.05, 0.3, 0.9]),
)
def test_split_measures_equal_the_measures(seed, levels, n_pairs, top):
    random = torch.Generator().manual_seed(seed)
    key = torch.randint(-levels, levels, (n_pairs,), generator=random).float()
    values = torch.randint(-levels, levels, (6, n_pairs), generator=random).float()
    keys = key.expand(6, -1)
    dealt = DealtPairs(values)
    for share in (top, 0.5):  # the second from the same median
        ratio = deal_ratio(key, top=share)(dealt)
        torch.testing.assert_close(ratio, dissociation_ratio(keys, values, top=share))
    similarity = deal_similarity(key)(DealtPairs(values.to(torch.int32) + levels))
    expected = representational_similarity(keys, values)
    torch.testing.assert_close(similarity, expected, equal_nan=True)
    for row in range(6):
        if len(key.unique()) > 1 and len(values[row].unique()) > 1:
            rho = scipy.stats.spearmanr(key.numpy(), values[row].numpy()).statistic
            assert float(similarity[row]) == pytest.approx(rho, abs=1e-9)


@pytest.mark.parametrize("outlier", [1.0, 300.0])
def test_levels_keep_the_rank_correlation(outlier):
    random = torch.Generator().manual_seed(3)
    vectors = torch.randn(300, 12, generator=random)
    vectors[7] *= outlier
    distances = torch.cdist(vectors, vectors)
    levels = distance_levels(distances)
    left, right = torch.triu_indices(300, 300, offset=1)
    key = distances[left, right] + torch.randn(len(left), generator=random)
    found = deal_similarity(key)(DealtPairs(levels[left, right][None])).item()
    exact = representational_similarity(key[None], distances[left, right][None]).item()
    assert found == pytest.approx(exact, abs=1e-4 if outlier == 1 else 2e-3)
    assert int(levels.min()) >= 0
    assert int(levels.max()) < 2**15


def test_equal_distances_have_no_rank_correlation():
    levels = distance_levels(torch.full((5, 5), 3.0))
    assert len(levels.unique()) == 1
    assert deal_similarity(torch.rand(5))(DealtPairs(levels)).isnan().all()


@pytest.fixture
def layer():
    """Two heads with keys and values of different widths, three templates, repeated pairs."""
    random = torch.Generator().manual_seed(5)
    rows = torch.randperm(40, generator=random)[:36].reshape(12, 3)
    keys, values = torch.randn(2, 40, 4, generator=random), torch.randn(2, 40, 7, generator=random)
    values[..., :4] += keys
    left = torch.randint(12, (50,), generator=random)
    right = (left + torch.randint(1, 12, (50,), generator=random)) % 12
    left[-1], right[-1] = left[0], right[0]
    return {
        "keys": keys,
        "values": values,
        "words": DistinctWords(rows, left, right),
        "permutations": permute_words(12, permutations=9, seed=1),
        "measures": list_pair_measures(),
    }


def test_null_samples_are_the_measures_of_dealt_values(layer):
    plain = [replace(own, name=f"plain {own.name}", dealt=None) for own in layer["measures"]]
    found = shuffle_pairs(**layer | {"measures": (*layer["measures"], *plain)})
    keys, values, words = layer["keys"], layer["values"], layer["words"]
    left, right = words.rows[words.left], words.rows[words.right]
    everyone = [torch.arange(12), *layer["permutations"]]
    for number, order in enumerate(everyone):
        dealt = values.clone()
        dealt[:, words.rows] = values[:, words.rows[order]]
        comparison = compare_pairs(keys, dealt, left, right)
        for measure in (*layer["measures"], *plain):
            expected = measure.function(*comparison.figures(measure.takes))
            samples = found[measure.name]
            got = samples.observed if number == 0 else samples.samples[number - 1]
            torch.testing.assert_close(got, expected, atol=2e-3, rtol=0)


def test_only_what_is_asked_for_is_measured(layer, monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr("probes.similarity.pairs.pair_cosines", refuse)
    found = shuffle_pairs(**layer | {"measures": [find_measure("representational_similarity")]})
    assert list(found) == ["representational_similarity"]
    assert found["representational_similarity"].samples.shape == (9, 2)


def test_identical_keys_and_values_are_beyond_their_null(layer):
    layer["values"] = layer["keys"]
    layer["permutations"] = permute_words(12, permutations=199, seed=1)
    found = shuffle_pairs(**layer)["representational_similarity"]
    assert found.observed.tolist() == pytest.approx([1, 1], abs=1e-3)
    assert np.quantile(found.samples.numpy(), 0.99) < 0.7
    assert abs(float(found.samples.mean())) < 0.1


def test_several_kinds_of_permutation_share_their_observed_figures(layer):
    both = shuffle_pairs(**layer)["representational_similarity"]
    first, second = both.split([4, 5])
    assert first.samples.shape == (4, 2)
    torch.testing.assert_close(torch.cat([first.samples, second.samples]), both.samples)
    torch.testing.assert_close(second.observed, both.observed)


def test_shuffle_pairs_refuses(layer):
    words = layer["words"]
    with pytest.raises(UsageError, match=r"right_word holds indices .* 0\.\.11"):
        shuffle_pairs(**{**layer, "words": replace(words, right=words.right + 12)})
    values = layer["values"].clone()
    values[1, words.rows[3, 1]] = 0
    with pytest.raises(NonFiniteError, match="numbers in the cosines of"):
        shuffle_pairs(**{**layer, "values": values})
    with pytest.raises(UsageError, match="top is"):
        deal_ratio(torch.ones(3), top=0.0)
