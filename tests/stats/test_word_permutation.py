import itertools

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import UsageError
from probes.stats import (
    combine_strata,
    gather_figures,
    permutation_p,
    permute_words,
    permuted_places,
)


def test_every_permutation_is_equally_likely() -> None:
    drawn = permute_words(4, permutations=24_000, seed=0)
    counts = np.unique(drawn.numpy(), axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert scipy.stats.chisquare(counts).pvalue > 0.001
    assert torch.equal(drawn[:9], permute_words(4, permutations=9, seed=0))
    assert not torch.equal(drawn[:9], permute_words(4, permutations=9, seed=1))


def test_words_change_places_within_their_stratum_only() -> None:
    strata = torch.tensor([7, -1, 7, 3, -1, 7])
    drawn = permute_words(6, permutations=12_000, seed=2, strata=strata)
    assert torch.equal(strata[drawn], strata.expand(12_000, 6))
    counts = np.unique(drawn.numpy(), axis=0, return_counts=True)[1]
    assert len(counts) == 6 * 2  # 3 words x 2 words x 1 word
    assert scipy.stats.chisquare(counts).pvalue > 0.001


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 1), st.booleans()), min_size=1).map(
        lambda rows: [list(column) for column in zip(*rows, strict=True)]
    )
)
def test_strata_are_combinations_of_labels(labels: list[list[int]]) -> None:
    numbers = combine_strata(*(torch.tensor(label, dtype=torch.int64) for label in labels))
    rows = list(zip(*labels, strict=True))
    for (a, row), (b, other) in itertools.product(enumerate(rows), repeat=2):
        assert (numbers[a] == numbers[b]) == (row == other)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), block=st.sampled_from([1, 3, 100]))
def test_figures_are_those_of_the_permuted_words(seed: int, block: int) -> None:
    random = torch.Generator().manual_seed(seed)
    matrix = torch.randn(5, 5, generator=random)  # not symmetric: would show swapped words
    left = torch.tensor([0, 1, 2, 3, 0, 4])
    right = torch.tensor([1, 2, 4, 0, 3, 2])
    permutations = permute_words(5, permutations=7, seed=seed)
    places = permuted_places(permutations, left, right)
    parts = list(gather_figures(matrix, places, block=block))
    for row, words in zip(torch.cat(parts), permutations.tolist(), strict=True):
        expected = [matrix[words[a], words[b]] for a, b in zip(left, right, strict=True)]
        assert row.tolist() == [float(figure) for figure in expected]
    assert max(map(len, parts)) <= block
    assert bool((places // 5 != places % 5).all())


def test_the_mantel_test_equals_scipys_permutation_test() -> None:
    random = np.random.default_rng(0)
    words = 6
    keys = random.normal(size=(words, 2))
    values = keys + random.normal(size=(words, 2))
    d_k = np.linalg.norm(keys[:, None] - keys, axis=-1)
    d_v = np.linalg.norm(values[:, None] - values, axis=-1)
    left, right = np.triu_indices(words, 1)

    def correlate(order: np.ndarray) -> float:
        order = order.astype(int)
        return scipy.stats.pearsonr(d_k[left, right], d_v[order[left], order[right]]).statistic

    reference = scipy.stats.permutation_test(
        (np.arange(words),),
        correlate,
        permutation_type="pairings",
        n_resamples=np.inf,
        alternative="greater",
        vectorized=False,
    )
    everything = torch.tensor(list(itertools.permutations(range(words))))
    places = permuted_places(everything, torch.tensor(left), torch.tensor(right))
    figures = torch.cat(list(gather_figures(torch.from_numpy(d_v), places)))
    null = torch.tensor([np.corrcoef(d_k[left, right], row)[0, 1] for row in figures.numpy()])
    assert null.numpy() == pytest.approx(reference.null_distribution)
    # All arrangements are there, the observed one included: r / n rather than (r + 1) / (n + 1).
    observed = torch.tensor(reference.statistic)
    p = permutation_p(observed, null[1:], alternative="greater")
    assert float(p) == pytest.approx(reference.pvalue)


def test_word_permutation_refuses() -> None:
    with pytest.raises(UsageError, match="5 permutations of 1 words"):
        permute_words(1, permutations=5, seed=0)
    with pytest.raises(UsageError, match="alone in its stratum"):
        permute_words(3, permutations=1, seed=0, strata=torch.tensor([2, 0, 1]))
    with pytest.raises(UsageError, match="for 3 words"):
        permute_words(3, permutations=1, seed=0, strata=torch.tensor([2, 0]))
    with pytest.raises(UsageError, match="no labels"):
        combine_strata()
    with pytest.raises(UsageError, match="a label has shape"):
        combine_strata.__wrapped__(torch.tensor([0, 1]), torch.tensor([0]))
    permutations, left = permute_words(3, permutations=2, seed=0), torch.tensor([0, 3])
    with pytest.raises(UsageError, match=r"0\.\.2"):
        permuted_places(permutations, left, left)
    with pytest.raises(UsageError, match="left_word has shape"):
        permuted_places.__wrapped__(permutations, left, left[:1])
    many = torch.zeros(1, 46_341, dtype=torch.long)
    with pytest.raises(UsageError, match="at most 46,340"):
        permuted_places(many, left[:1], left[:1])
