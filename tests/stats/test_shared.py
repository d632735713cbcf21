import numpy as np
import pytest
import torch

from probes.errors import UsageError
from probes.stats import SharedResamples, pair_weights
from tests.stats.pairs import weighted_mean

PAIRS = [("fox", "dog"), ("cat", "dog"), ("ant", "fox"), ("dog", "fox"), ("bee", "cat")]


def test_a_word_counts_the_same_in_every_capture() -> None:
    shared = SharedResamples.draw(PAIRS, resamples=9, seed=0)
    assert list(shared.words) == ["ant", "bee", "cat", "dog", "fox"]
    assert list(shared.pairs) == [("ant", "fox"), ("bee", "cat"), ("cat", "dog"), ("dog", "fox")]
    left, right = zip(*PAIRS, strict=True)
    whole = shared.bootstrap(left, right)
    part = shared.bootstrap(["dog", "cat"], ["fox", "bee"])  # other order, other sides
    assert torch.equal(part.word_weights, whole.word_weights[:, [3, 4]])
    assert torch.equal(part.own_weights, whole.own_weights[:, [3, 4]])
    assert torch.equal(whole.own_weights[:, 0], whole.own_weights[:, 3])
    counts = shared.count_words(["dog", "fox"])
    expected = pair_weights(counts, torch.tensor([0]), torch.tensor([1]))
    assert torch.equal(expected[:, 0], whole.word_weights[:, 0])
    again = SharedResamples.draw(reversed(PAIRS), resamples=9, seed=0)
    assert torch.equal(again.word_counts, shared.word_counts)
    assert torch.equal(again.pair_counts, shared.pair_counts)


def test_paired_differences_are_narrower_and_cover() -> None:
    """Two captures with a common word effect; the second lost some pairs."""
    random = torch.Generator().manual_seed(0)
    n_words, n_pairs, data_sets = 120, 240, 300
    left = torch.randint(n_words, (n_pairs,), generator=random)
    right = (left + torch.randint(1, n_words, (n_pairs,), generator=random)) % n_words
    effect = torch.randn(data_sets, n_words, generator=random)
    own = [0.3 * torch.randn(data_sets, n_words, generator=random) for _ in range(2)]
    figures = [(effect + e)[:, left] + (effect + e)[:, right] for e in own]
    names = [(f"{a}", f"{b}") for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    kept = slice(0, 230)
    shared = SharedResamples.draw(names, resamples=300, seed=1)
    estimates = [
        shared.bootstrap(*zip(*part, strict=True)).estimate(weighted_mean, figure)
        for part, figure in ((names, figures[0]), (names[kept], figures[1][:, kept]))
    ]
    low, high = (estimates[0] - estimates[1]).interval()
    covered = float(((low <= 0) & (high >= 0)).double().mean())
    assert 0.91 < covered < 0.98
    widths = [(e.interval()[1] - e.interval()[0]) for e in estimates]
    independent = np.hypot(widths[0].numpy(), widths[1].numpy())
    assert float((high - low).mean()) < 0.6 * independent.mean()


def test_shared_resamples_refuse() -> None:
    shared = SharedResamples.draw(PAIRS, resamples=2, seed=0)
    with pytest.raises(UsageError, match="1 of the 2 words, such as 'elk'"):
        shared.count_words(["fox", "elk"])
    with pytest.raises(UsageError, match="1 of the 1 pairs, such as ant / bee"):
        shared.bootstrap(["bee"], ["ant"])
    with pytest.raises(UsageError, match="no pairs"):
        SharedResamples.draw([], resamples=2, seed=0)
    with pytest.raises(UsageError, match="a word with itself"):
        SharedResamples.draw([("a", "a")], resamples=2, seed=0).bootstrap(["a"], ["a"])
