"""What keeps a property's folds apart: words, head nouns, or the split of a corpus."""

import numpy as np
import pandas as pd
import pytest
import torch

from probes.capture.located import CapturedWords, LocatedPairs
from probes.errors import TableError
from probes.linear.measure import ONE_PENALTY, Design, measure_heads
from probes.linear.pair_properties import label_pairs
from probes.linear.properties import label_occurrences


def make_occurrences(*, sees_head=True, n=400):
    random = np.random.default_rng(0)
    words = [f"w{number:02d}" for number in random.integers(50, size=n)]
    heads = [f"h{number:02d}" for number in random.integers(40, size=n)]
    return pd.DataFrame(
        {"occurrence": range(n), "template_id": "t", "word": words, "head": heads}
    ).assign(head=heads if sees_head else None)


def label(occurrences, **options):
    labels = occurrences["word"].str[1:].astype(int).map(lambda number: "ab"[number % 2])
    return label_occurrences("x", occurrences, labels, min_words=5, **options)


def test_folds_keep_words_and_head_nouns_apart_where_the_head_is_seen():
    occurrences = make_occurrences()
    design = Design.of(label(occurrences), refits=2)
    assert design.wanted.split_by == "word and head noun"
    first, second = design.splits
    assert not torch.equal(first.cell, second.cell)  # a refit has other folds
    for splits in design.splits:
        for fit in splits.outer:
            train, test = (
                occurrences[splits.rows(cells).numpy()] for cells in (fit.train, fit.tested)
            )
            assert len(test) > 5
            for column in ("word", "head"):
                assert not set(train[column]) & set(test[column])
    blind = label(make_occurrences(sees_head=False))
    assert blind.split_by == "word"
    assert torch.equal(blind.groups, blind.units)
    alone = label(occurrences, split_by=("word",))
    assert alone.split_by == "word"
    assert bool(Design.of(alone).splits[0].tested().all())


def test_a_word_without_head_noun_is_kept_apart_by_itself_alone():
    occurrences = make_occurrences()
    occurrences["head"] = occurrences["head"].where(np.arange(400) % 3 > 0)
    found = label(occurrences)
    without = torch.tensor(occurrences["head"].isna().to_numpy())
    assert torch.equal(found.groups[without, 0], found.groups[without, 1])
    names = set(occurrences["word"]) | set(occurrences["head"].dropna())
    assert len(torch.unique(found.groups)) == len(names)


def test_a_head_noun_that_leaks_the_label_is_no_help_on_unseen_head_nouns():
    occurrences = make_occurrences(n=3000)
    random = torch.Generator().manual_seed(0)
    heads = torch.tensor(occurrences["head"].str[1:].astype(int).to_numpy())
    by_head = torch.randint(2, (40,), generator=random)
    found = label_occurrences("x", occurrences, pd.Series(by_head[heads].numpy()).map(str))
    x = 20 * torch.nn.functional.one_hot(heads, 40) + torch.randn(2, 3000, 40, generator=random)
    by_both = measure_heads(x, Design.of(found), with_code=False).probing.score.observed
    words = label_occurrences(
        "x", occurrences, pd.Series(by_head[heads].numpy()).map(str), split_by=("word",)
    )
    by_word = measure_heads(x, Design.of(words), with_code=False).probing.score.observed
    assert float(by_word.min()) > 0.9
    assert float(by_both.max()) < 0.7


def test_pairs_that_have_seen_their_head_noun_are_split_by_it_too():
    occurrences = make_occurrences()
    words = sorted(occurrences["word"].unique())
    captured = CapturedWords(
        tuple(words),
        ("t",),
        torch.tensor(occurrences["word"].map(words.index).to_numpy()),
        torch.zeros(len(occurrences), dtype=torch.int64),
        torch.tensor(occurrences.groupby("word")["occurrence"].min().to_numpy())[:, None],
    )
    row_of = {(row.head, row.word): row.occurrence for row in occurrences.itertuples()}
    pairs = pd.DataFrame(
        [
            (head, own[n], own[n + 1])
            for head, own in occurrences.groupby("head")["word"].unique().items()
            for n in range(len(own) - 1)
        ],
        columns=["head", "m1", "m2"],
    )
    pairs["kind"] = ["xy"[number % 2] for number in range(len(pairs))]
    sides = [
        [row_of[place] for place in zip(pairs["head"], pairs[side], strict=True)]
        for side in ("m1", "m2")
    ]
    located = LocatedPairs(
        captured,
        pairs,
        *(torch.tensor(side)[:, None] for side in sides),
        *(captured.number(pairs[side].to_numpy()) for side in ("m1", "m2")),
    )
    found = label_pairs("kind", located, "kind", occurrences=occurrences)
    assert found.split_by == "both words and head noun"
    assert found.groups.shape == (len(pairs), 3)
    assert row_of[tuple(pairs[["head", "m1"]].iloc[0])] == int(found.occurrences[0, 0])
    numbers = found.groups
    for row, other in ((0, 1), (0, 5), (3, 50)):
        same = [
            pairs.iloc[int(found.units[row])][a] == pairs.iloc[int(found.units[other])][b]
            for a in ("m1", "m2", "head")
            for b in ("m1", "m2", "head")
        ]
        assert (numbers[row][:, None] == numbers[other]).flatten().tolist() == same


def test_a_corpus_split_takes_the_place_of_folds():
    occurrences = make_occurrences(sees_head=False)
    split = np.where(np.arange(400) < 250, "train", np.where(np.arange(400) < 320, "dev", "test"))
    found = label(occurrences.assign(split=split))
    assert found.split == tuple(split)
    assert found.split_by == "train, dev, test"
    design = Design.of(found, refits=3)
    (splits,) = design.splits
    assert splits.tested().tolist() == [name == "test" for name in split]
    assert len(design.penalties) == 5
    tested = sorted(set(found.units[splits.tested()].tolist()))
    weights = design.weights(20)
    assert weights.shape == (20, 50)
    assert weights.sum(1).tolist() == [len(tested)] * 20  # words that only train weigh nothing
    assert set(weights.sum(0).nonzero()[:, 0].tolist()) <= set(tested)
    assert len(tested) < 50
    without = Design.of(label(occurrences.assign(split=np.where(split == "dev", "", split))))
    assert without.penalties == ONE_PENALTY
    assert label(occurrences.assign(split="train")).split is None


def test_refuses():
    with pytest.raises(TableError, match="1 classes"):
        label_occurrences("x", make_occurrences(), pd.Series(["a"] * 400))
