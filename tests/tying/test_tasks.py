"""The synthetic tasks: every answer is right, only answers are scored, unseen data are unseen."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import UsageError
from probes.tying.associative import AutoAssociative, HeteroAssociative
from probes.tying.batch import NOT_SCORED, seeded
from probes.tying.translation import Translation


@settings(deadline=None, max_examples=40)
@given(
    items=st.integers(1, 5),
    spare=st.integers(0, 4),
    cues=st.integers(1, 6),
    values=st.integers(1, 5),
    step=st.integers(0, 9),
)
def test_recall_asks_for_the_value_of_a_key(items, spare, cues, values, step):
    task = HeteroAssociative(items=items, cues=cues, keys=items + spare, values=values)
    batch = task.batch(step, size=4, seed=1)
    assert batch.tokens.shape == (4, task.length)
    assert int(batch.tokens.max()) < task.vocabulary
    pairs = task.keys * task.values
    for tokens, targets in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        assert targets[:items] == [NOT_SCORED] * items
        memory = {token // values: token % values for token in tokens[:items]}
        assert len(memory) == items
        for cue, answer in zip(tokens[items:], targets[items:], strict=True):
            assert answer == pairs + task.keys + memory[cue - pairs]


@settings(deadline=None, max_examples=40)
@given(
    items=st.integers(1, 5),
    reach=st.integers(0, 3),
    spare=st.integers(0, 9),
    cues=st.integers(1, 6),
    step=st.integers(0, 9),
)
def test_completion_asks_for_the_only_item_near_a_cue(items, reach, spare, cues, step):
    ring = items * (2 * reach + 1) + spare
    task = AutoAssociative(items=items, cues=cues, ring=ring, reach=reach)
    batch = task.batch(step, size=4, seed=1)
    assert batch.tokens.shape == (4, task.length)
    for tokens, targets in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        assert targets[:items] == [NOT_SCORED] * items
        for cue, answer in zip(tokens[items:], targets[items:], strict=True):
            near = [
                item
                for item in tokens[:items]
                if min((item - cue) % ring, (cue - item) % ring) <= reach
            ]
            assert near == [answer]
            assert ring <= cue < task.vocabulary


def test_completion_uses_the_whole_ring_and_every_distance():
    task = AutoAssociative(items=3, cues=2, ring=20, reach=2)
    batch = task.batch(0, size=4000, seed=0)
    counts = torch.bincount(batch.tokens[:, :3].flatten(), minlength=20)
    assert counts.min() > 0.85 * counts.float().mean()
    near = (batch.tokens[:, 3:] - 20 - batch.targets[:, 3:] + 2) % 20
    assert torch.bincount(near.flatten()).tolist() == pytest.approx([1600] * 5, rel=0.1)


def test_a_translation_reverses_words_by_a_dictionary():
    task = Translation(words=5, lexicon=7, followers=3)
    dictionary, followers = {}, {}
    for step in range(30):
        batch = task.batch(step, size=8, seed=0)
        assert batch.tokens[:, 0].tolist() == [14] * 8
        assert batch.targets[:, -1].tolist() == [15] * 8
        assert torch.equal(batch.tokens[:, 1:], batch.targets[:, :-1])
        for source, target in zip(batch.source.tolist(), batch.targets.tolist(), strict=True):
            for word, translated in zip(source, target[-2::-1], strict=True):
                assert dictionary.setdefault(word, translated) == translated
            for word, follower in itertools.pairwise(source):
                followers.setdefault(word, set()).add(follower)
    assert set(dictionary) == set(range(7))
    assert set(dictionary.values()) == set(range(7, 14))
    assert [len(found) for found in followers.values()] == [3] * 7


@pytest.mark.parametrize("task", [HeteroAssociative(), AutoAssociative(), Translation()])
def test_unseen_data_are_the_same_for_every_seed_and_none_are_trained_on(task):
    parts = {
        part: torch.cat([batch.tokens for batch in task.unseen(part)])
        for part in ("validation", "test")
    }
    again = torch.cat([batch.tokens for batch in task.unseen("test")])
    assert torch.equal(parts["test"], again)
    rows = {
        name: set(map(tuple, tokens.tolist()))
        for name, tokens in {
            **parts,
            **{str(seed): task.batch(0, size=512, seed=seed).tokens for seed in (0, 1)},
        }.items()
    }
    names = list(rows)
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            assert not rows[first] & rows[second]


def test_batches_follow_from_seed_and_step():
    task = HeteroAssociative()
    assert torch.equal(task.batch(3, size=4, seed=2).tokens, task.batch(3, size=4, seed=2).tokens)
    assert not torch.equal(
        task.batch(3, size=4, seed=2).tokens, task.batch(2, size=4, seed=3).tokens
    )
    assert seeded(1, 2).initial_seed() != seeded(2, 1).initial_seed()


def test_tasks_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="no more items than keys"):
        HeteroAssociative(items=9, keys=8)
    with pytest.raises(UsageError, match="in which the items fit"):
        AutoAssociative(items=8, ring=39)
    with pytest.raises(UsageError, match="no more followers"):
        Translation(lexicon=4, followers=5)
