import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import PredefinedSplit

from probes.errors import NonFiniteError, UsageError
from probes.similarity import closed_form_r2, resampled_r2, to_coordinates
from probes.similarity.tieability import tieability
from probes.stats import word_folds

PENALTIES = (1e-3, 0.3, 3.0)


def _data(seed: int = 0, noise: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Heads [2, 3], d_key 4, d_value 6; 1 to 5 occurrences of each of 23 words, shuffled."""
    random = torch.Generator().manual_seed(seed)
    counts = torch.randint(1, 6, (23,), generator=random)
    words = (10 + 3 * torch.arange(23)).repeat_interleave(counts)
    words = words[torch.randperm(len(words), generator=random)]
    scale = torch.tensor([3.0, 1.0, 0.3, 0.1], dtype=torch.float64)
    shape = (2, 3, len(words))
    keys = 20 + scale * torch.randn(*shape, 4, generator=random, dtype=torch.float64)
    maps = torch.randn(2, 3, 4, 6, generator=random, dtype=torch.float64)
    values = keys @ maps + noise * torch.randn(*shape, 6, generator=random, dtype=torch.float64)
    return keys, values, words


def _alpha(keys: np.ndarray, penalty: float) -> float:
    centred = keys - keys.mean(0)
    return penalty * float(np.trace(centred.T @ centred)) / keys.shape[1]


def _error(
    keys: np.ndarray, values: np.ndarray, train: np.ndarray, test: np.ndarray, penalty: float
) -> np.ndarray:
    model = Ridge(alpha=_alpha(keys[train], penalty)).fit(keys[train], values[train])
    return ((values[test] - model.predict(keys[test])) ** 2).sum(1)


def _reference(keys: np.ndarray, values: np.ndarray, fold: np.ndarray) -> tuple:
    """A plain nested loop over scikit-learn's Ridge."""
    error, total, chosen = np.empty(len(keys)), np.empty(len(keys)), []
    for f, (train, test) in enumerate(PredefinedSplit(fold).split()):
        losses = [
            sum(
                _error(keys, values, train[fold[train] != g], train[fold[train] == g], p).sum()
                for g in set(fold) - {f}
            )
            for p in PENALTIES
        ]
        chosen.append(PENALTIES[int(np.argmin(losses))])
        error[test] = _error(keys, values, train, test, chosen[-1])
        total[test] = ((values[test] - values[train].mean(0)) ** 2).sum(1)
    return error, total, chosen


@pytest.mark.parametrize(("noise", "block"), [(1.0, 1), (4.0, 64 * 2**20)])
def test_tieability_equals_scikit_learn(
    monkeypatch: pytest.MonkeyPatch, noise: float, block: int
) -> None:
    monkeypatch.setattr("probes.similarity.tieability._BYTES", block)
    keys, values, words = _data(noise=noise)
    result = tieability(keys, values, words=words, folds=4, penalties=PENALTIES, seed=5)
    fold = word_folds(words, 4, 5).numpy()
    assert torch.equal(result.words, words.unique())
    for head in np.ndindex(2, 3):
        error, total, chosen = _reference(keys[head].numpy(), values[head].numpy(), fold)
        assert float(result.r2[head]) == pytest.approx(1 - error.sum() / total.sum())
        assert result.penalty[head].tolist() == pytest.approx(chosen)
        for place, word in enumerate(result.words):
            mine = (words == word).numpy()
            assert float(result.word_error[head][place]) == pytest.approx(error[mine].sum())
            assert float(result.word_total[head][place]) == pytest.approx(total[mine].sum())
    assert len(result.penalty.unique()) > 1 or noise == 1.0  # the choice is put to the test


def test_resampled_r2_counts_words() -> None:
    keys, values, words = _data()
    result = tieability(keys, values, words=words)
    counts = torch.randint(3, (7, 23), generator=torch.Generator().manual_seed(1)).float()
    resampled = resampled_r2(result, counts)
    assert resampled.shape == (7, 2, 3)
    drawn = [w for w in range(23) for _ in range(int(counts[4, w]))]
    error = sum(float(result.word_error[1, 2, w]) for w in drawn)
    total = sum(float(result.word_total[1, 2, w]) for w in drawn)
    assert float(resampled[4, 1, 2]) == pytest.approx(1 - error / total)
    torch.testing.assert_close(resampled_r2(result, torch.full((1, 23), 2.0))[0], result.r2)


def test_values_of_constructed_cases() -> None:
    random = torch.Generator().manual_seed(2)
    words = torch.arange(600) % 200
    keys = torch.randn(2, 600, 5, generator=random)
    linear = keys @ torch.randn(2, 5, 8, generator=random) + 7
    assert tieability(keys, linear, words=words).r2.tolist() == pytest.approx([1, 1], abs=1e-5)
    independent = torch.randn(2, 600, 8, generator=random)
    r2 = tieability(keys, independent, words=words).r2
    assert -0.03 < float(r2.min()) <= float(r2.max()) < 0.01
    # A word's own vector is no help on other words: folds are split by word.
    memory = torch.randn(200, 8, generator=random)[words].expand(2, -1, -1)
    names = torch.randn(2, 200, 50, generator=random)[:, words]
    assert float(tieability(names, memory, words=words).r2.max()) < 0.02
    assert float(closed_form_r2(names, memory).min()) > 0.2
    constant = torch.ones(2, 600, 5)
    assert float(tieability(constant, independent, words=words).r2.abs().max()) < 0.02
    assert bool(tieability(keys, constant, words=words).r2.isnan().all())


def test_a_change_of_basis_moves_nothing() -> None:
    keys, values, words = _data()
    random = torch.Generator().manual_seed(3)
    factor = torch.randn(2, 3, 4, 9, generator=random, dtype=torch.float64)
    metric = factor @ factor.mT
    M = torch.eye(4, dtype=torch.float64) + 0.3 * torch.randn(2, 3, 4, 4, generator=random).double()
    inverse = torch.linalg.inv(M)
    before, after = (
        tieability(to_coordinates(k, a), values, words=words)
        for k, a in ((keys, metric), (keys @ M, inverse @ metric @ inverse.mT))
    )
    torch.testing.assert_close(after.r2, before.r2, rtol=1e-5, atol=1e-7)
    naive = tieability(keys @ M, values, words=words, penalties=(3.0,))
    plain = tieability(keys, values, words=words, penalties=(3.0,))
    assert float((naive.r2 - plain.r2).abs().max()) > 1e-3
    order = torch.randperm(len(words), generator=random)
    mixed = tieability(keys[:, :, order] * 5 - 1, values[:, :, order] - 4, words=words[order])
    again = tieability(keys, values, words=words)
    torch.testing.assert_close(mixed.word_error, again.word_error)


def test_word_folds_are_balanced_and_split_no_word() -> None:
    _, _, words = _data()
    fold = word_folds(words, 4, 0)
    of_word = {int(w): set(fold[words == w].tolist()) for w in words}
    assert all(len(folds) == 1 for folds in of_word.values())
    sizes = [sum(folds == {f} for folds in of_word.values()) for f in range(4)]
    assert sorted(sizes) == [5, 6, 6, 6]
    order = torch.randperm(len(words))
    assert torch.equal(word_folds(words[order], 4, 0), fold[order])
    assert not torch.equal(word_folds(words, 4, 1), fold)


def test_refuses() -> None:
    keys, values, words = _data()
    with pytest.raises(UsageError, match="23 words cannot be split into 24 folds"):
        tieability(keys, values, words=words, folds=24)
    with pytest.raises(UsageError, match="at least 3"):
        tieability(keys, values, words=words, folds=2)
    for penalties in ((), (0.0,), (1.0, float("inf"))):
        with pytest.raises(UsageError, match="penalties are"):
            tieability(keys, values, words=words, penalties=penalties)
    with pytest.raises(NonFiniteError, match="the values"):
        tieability(keys, values / 0, words=words)
    with pytest.raises(UsageError, match="one word number per"):
        tieability.__wrapped__(keys, values, words=words[1:])
    result = tieability(keys, values, words=words)
    with pytest.raises(UsageError, match="one for each of"):
        resampled_r2(result, torch.ones(2, 22))
    with pytest.raises(UsageError, match="negative"):
        resampled_r2(result, -torch.ones(2, 23))
    with pytest.raises(NonFiniteError, match="word weights"):
        resampled_r2(result, torch.full((2, 23), float("nan")))
