import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probes.errors import UsageError
from probes.stats import Splits, word_folds


def test_plain_folds_test_themselves_and_train_the_rest():
    fold = word_folds(torch.arange(30) % 11, 4, seed=1)
    splits = Splits.of(fold, 4)
    assert splits.n_folds == 4
    for f, fit in enumerate(splits.outer):
        assert torch.equal(splits.rows(fit.tested), fold == f)
        assert torch.equal(splits.rows(fit.train), fold != f)
    assert bool(splits.tested().all())
    assert len(splits.inner) == 6
    for fit in splits.inner:
        left_out = {f for f, _ in fit.tests}
        assert len(left_out) == 2
        assert torch.equal(splits.rows(fit.train), sum(fold == f for f in left_out) == 0)
        for f, cells in fit.tests:  # what counts for a fold is the other one
            (other,) = left_out - {f}
            assert torch.equal(splits.rows(cells), fold == other)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=25, max_size=40))
def test_pairs_never_share_a_word_between_training_and_test(pairs):
    pairs = torch.tensor(pairs + [(n, (n + 1) % 10) for n in range(10)])
    fold = word_folds(torch.arange(10), 3, seed=0)[pairs]
    splits = Splits.of(fold, 3)
    for f, fit in enumerate(splits.outer):
        test = set(pairs[splits.rows(fit.tested)].flatten().tolist())
        train = set(pairs[splits.rows(fit.train)].flatten().tolist())
        assert not test & train
        assert torch.equal(splits.rows(fit.tested), (fold == f).all(1))
        assert torch.equal(splits.rows(fit.train), (fold != f).all(1))
    for fit in splits.inner:
        trained = set(pairs[splits.rows(fit.train)].flatten().tolist())
        for f, cells in fit.tests:  # neither what it tests, nor what the outer fold tests
            for rows in (splits.rows(cells), splits.rows(splits.outer[f].tested)):
                assert not trained & set(pairs[rows].flatten().tolist())


@given(st.integers(0, 30), st.integers(2, 5))
def test_a_tested_word_and_its_head_noun_have_not_been_seen(seed, folds):
    random = torch.Generator().manual_seed(seed)
    words = torch.randint(60, (200,), generator=random)
    heads = 40 + torch.randint(40, (200,), generator=random)  # 40..59 are words, too
    members = torch.stack([words, heads], 1)
    fold = word_folds(members, folds, seed)
    for number in members.unique().tolist():
        assert len(fold[members == number].unique()) == 1
    splits = Splits.of(fold, folds)
    for f, fit in enumerate(splits.outer):
        train, test = splits.rows(fit.train), splits.rows(fit.tested)
        assert torch.equal(test, (fold == f).all(1))
        assert not set(words[test].tolist()) & set(words[train].tolist())
        assert not set(heads[test].tolist()) & set(heads[train].tolist())
    sizes = [len(members[fold == f].unique()) for f in range(folds)]
    assert max(sizes) - min(sizes) <= 1


def test_a_given_split_is_fitted_chosen_and_scored_once():
    names = ["train", "dev", "test", "", "train", "test"]
    splits = Splits.given(names)
    (outer,), (inner,) = splits.outer, splits.inner
    assert splits.rows(outer.train).tolist() == [name == "train" for name in names]
    assert splits.rows(outer.tested).tolist() == [name == "test" for name in names]
    assert inner.train == outer.train
    ((fold, cells),) = inner.tests
    assert fold == 0
    assert splits.rows(cells).tolist() == [name == "dev" for name in names]
    assert torch.equal(splits.tested(), splits.rows(outer.tested))


def test_refuses_what_cannot_be_trained_or_tested():
    with pytest.raises(UsageError, match="in the split test"):
        Splits.given(["train", "dev"])
    without = Splits.given(["train", "test"])
    without.require_training(choose=False)
    with pytest.raises(UsageError, match="no dev set"):
        without.require_training(choose=True)
    halves = Splits.of(torch.arange(10) % 2, 2)
    halves.require_training(choose=False)
    with pytest.raises(UsageError, match="nothing to train on"):
        halves.require_training(choose=True)
    across = Splits.of(torch.tensor([[0, 1], [1, 2], [2, 0]]), 3)
    with pytest.raises(UsageError, match="No occurrence is tested"):
        across.require_training(choose=False)
