import torch
from hypothesis import given
from hypothesis import strategies as st

from probes.stats import Splits, word_folds


def test_plain_folds_test_themselves_and_train_the_rest():
    fold = word_folds(torch.arange(30) % 11, 4, seed=1)
    splits = Splits.of(fold, 4)
    for f in range(4):
        assert torch.equal(splits.rows(splits.test_cells(f)), fold == f)
        assert torch.equal(splits.rows(splits.train_cells([f])), fold != f)
    assert bool(splits.tested().all())
    assert torch.equal(splits.rows(splits.train_cells([1, 3])), (fold == 0) | (fold == 2))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=25, max_size=40))
def test_pairs_never_share_a_word_between_training_and_test(pairs):
    pairs = torch.tensor(pairs + [(n, (n + 1) % 10) for n in range(10)])
    fold = word_folds(torch.arange(10), 3, seed=0)[pairs]
    splits = Splits.of(fold, 3)
    for f in range(3):
        test = set(pairs[splits.rows(splits.test_cells(f))].flatten().tolist())
        train = set(pairs[splits.rows(splits.train_cells([f]))].flatten().tolist())
        assert not test & train
        inside = (fold == f).all(1)
        assert torch.equal(splits.rows(splits.test_cells(f)), inside)
        assert torch.equal(splits.rows(splits.train_cells([f])), (fold != f).all(1))
