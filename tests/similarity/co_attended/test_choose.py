"""Choices against loops over heads, queries and tokens."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.errors import NonFiniteError, UsageError
from probes.similarity.co_attended.choose import (
    choose_elsewhere,
    choose_in_sentences,
    choose_in_text,
    count_together,
    deal_within,
    find_sinks,
    weigh_heads,
)

HEADS, QUERIES, TOKENS = 4, 12, 9


def draw_weights(seed, *, decimals=6):
    random = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(HEADS, QUERIES, TOKENS, generator=random)
    allowed = torch.rand(HEADS, QUERIES, TOKENS, generator=random) < 0.7
    return logits.softmax(-1).round(decimals=decimals), allowed


def test_a_quarter_of_the_sentences_is_chosen_by_the_smaller_weight():
    left, right = torch.rand(2, 3, 40, generator=torch.Generator().manual_seed(0))
    chosen = choose_in_sentences(left, right)
    for head in range(3):
        smaller = torch.minimum(left[head], right[head])
        expected = set(smaller.argsort(descending=True)[:10].tolist())
        assert set(chosen[head].nonzero()[:, 0].tolist()) == expected
    assert torch.equal(choose_in_sentences(right, left), chosen)


def test_a_share_can_be_taken_within_classes():
    left, right = torch.rand(2, 3, 40, generator=torch.Generator().manual_seed(1))
    left[:, :20] += 10  # one class of far larger weights
    right[:, :20] += 10
    classes = torch.arange(40) // 20
    assert choose_in_sentences(left, right)[:, 20:].sum() == 0
    within = choose_in_sentences(left, right, within=classes)
    assert within[:, 20:].sum(1).tolist() == [5, 5, 5]


def test_equal_sentences_are_chosen_in_equal_parts():
    weights = torch.full((2, 8), 0.5)
    assert torch.equal(choose_in_sentences(weights, weights), torch.full((2, 8), 0.25))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), largest=st.sampled_from([2, 3, None]))
def test_a_query_attends_to_its_largest_weights(seed, largest):
    weights, allowed = draw_weights(seed)
    attended = choose_in_text(weights, allowed, largest=largest, least=0.05)
    for head in range(HEADS):
        for query in range(QUERIES):
            own = [t for t in range(TOKENS) if allowed[head, query, t]]
            own.sort(key=lambda t: -float(weights[head, query, t]))
            count = largest or max(1, math.ceil(len(own) / 4))
            expected = [t for t in own[:count] if weights[head, query, t] >= 0.05]
            assert attended[head, query].nonzero()[:, 0].tolist() == sorted(expected)


def test_pairs_are_counted_by_the_queries_that_attend_to_both():
    weights, allowed = draw_weights(5)
    attended = choose_in_text(weights, allowed, largest=None, share=0.5, least=0.0)
    left, right = torch.triu_indices(TOKENS, TOKENS, 1)
    counts = count_together(attended, left, right)
    dealt = deal_within(torch.arange(QUERIES) // 4, seed=0)
    shuffled = count_together(attended, left, right, dealt=dealt)
    for head in range(HEADS):
        for pair, (i, j) in enumerate(zip(left, right, strict=True)):
            one = attended[head]
            assert counts[head, pair] == (one[:, i] & one[:, j]).sum()
            crossed = (one[:, i] & one[dealt, j]).sum() + (one[:, j] & one[dealt, i]).sum()
            assert shuffled[head, pair] == crossed / 2


def test_every_query_is_dealt_another_of_its_stratum():
    strata = torch.tensor([0, 0, 1, 2, 2, 2, 0, 2, 3, 3] * 3)
    strata[5] = 9  # alone
    dealt = deal_within(strata, seed=1)
    assert torch.equal(strata[dealt], strata)
    assert sorted(dealt.tolist()) == list(range(30))
    assert (dealt == torch.arange(30)).nonzero().tolist() == [[5]]
    assert torch.equal(dealt, deal_within(strata, seed=1))
    assert not torch.equal(dealt, deal_within(strata, seed=2))


def test_sinks_get_the_mean_query():
    random = torch.Generator().manual_seed(0)
    visible = torch.ones(30, 30, dtype=torch.bool).tril(-1)
    weights = (torch.rand(2, 30, 30, generator=random) * visible).clamp(min=1e-9)
    weights[1, :, 4] += 30 * visible[:, 4]  # a sink of head 1
    weights[1, 28:, 20] += 300  # what two queries attend to is none
    weights = weights / weights.sum(-1, keepdim=True)
    sinks = find_sinks(weights, visible, fewest=5)
    assert sinks.nonzero().tolist() == [[1, 4]]
    # Late tokens are seen by too few queries.
    weights[:, -1] = 0
    weights[:, -1, -2] = 1
    assert not find_sinks(weights, visible, fewest=5)[:, -2].any()
    assert find_sinks(weights, visible, fewest=1)[:, -2].all()


def test_elsewhere_are_the_other_kv_heads():
    chosen = torch.rand(6, 11, generator=torch.Generator().manual_seed(0))
    elsewhere = choose_elsewhere(chosen, n_kv_heads=3)
    for kv_head in range(3):
        others = [head for head in range(6) if head // 2 != kv_head]
        torch.testing.assert_close(elsewhere[kv_head], chosen[others].sum(0))
    assert choose_elsewhere(chosen, n_kv_heads=1).tolist() == [[0.0] * 11]
    with pytest.raises(UsageError, match="evenly"):
        choose_elsewhere(chosen, n_kv_heads=4)


def test_heads_weigh_what_they_give_to_both_words():
    left, right = torch.rand(2, 3, 7)
    expected = [float((left[h] + right[h]).mean()) for h in range(3)]
    assert weigh_heads(left, right).tolist() == pytest.approx(expected)


def test_what_cannot_be_chosen_is_refused():
    weights, allowed = draw_weights(0)
    with pytest.raises(NonFiniteError):
        choose_in_text(weights * float("nan"), allowed)
    with pytest.raises(UsageError, match="share"):
        choose_in_sentences(weights[:, 0], weights[:, 1], share=0.0)
