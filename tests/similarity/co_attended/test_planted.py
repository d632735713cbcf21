"""Planted truth: the statistics say what was put in, and a broken analysis does not."""

import pytest
import torch

from probes.similarity.co_attended.size import express_key_gap
from tests.similarity.co_attended.planted import EVENTS, GROUP, HEADS, measure, plant, read

NO = 3.0
"""Percentile points: a quarter of 2,400 sentences of 120 words differs from 50 by a point or so."""

MECHANICAL = (2.5, 10.0)
"""What attending by q.k alone does to keys that carry nothing."""


def test_keys_carry_a_class_and_values_an_identity():
    found = measure(plant(keys="class", values="identity"))
    for statistic in ("key_percentile", "difference"):
        above = 50 if statistic == "key_percentile" else 0
        assert (read(found, "own", statistic) > above + 18).all()
        own, other = read(found, "own", statistic), read(found, "mismatched_heads", statistic)
        assert (own - other > 15).all()
    assert (read(found, "own", "key_lift_5%") > 2.5).all()
    assert ((read(found, "own", "value_percentile") - 50).abs() < NO).all()
    assert (read(found, "own", "quadrant") > read(found, "matched", "quadrant") + 0.1).all()


def test_keys_and_values_carry_the_same():
    found = measure(plant(keys="class", values="keys"))
    assert (read(found, "own", "key_percentile") > 68).all()
    assert (read(found, "own", "value_percentile") > 68).all()
    assert (read(found, "own", "difference").abs() < 2).all()
    assert (read(found, "own", "quadrant") < 0.1).all()


def test_attention_at_random_finds_nothing():
    for seed in range(3):
        found = measure(plant(keys="identity", values="other", by_key=False, seed=seed))
        for selection in ("own", "mismatched_heads", "shuffled_attention"):
            for statistic in ("key_percentile", "value_percentile"):
                assert ((read(found, selection, statistic) - 50).abs() < NO).all()
            assert ((read(found, selection, "quadrant") - 0.25).abs() < 0.06).all()


def test_attending_by_keys_makes_keys_alike_by_itself():
    """The mechanical part: nothing is planted, but attention is q.k."""
    found = measure(plant(keys="other", values="identity", share=0.0))
    excess = read(found, "own", "key_percentile") - 50
    assert (excess > MECHANICAL[0]).all()
    assert (excess < MECHANICAL[1]).all()
    assert ((read(found, "own", "value_percentile") - 50).abs() < NO).all()


def test_keys_that_hardly_differ_are_alike_by_size():
    found = measure(plant(keys="identity", values="other", key_scale=0.015))
    assert (express_key_gap(read(found, "own", "key_gap")) < 0.1).all()
    own, random = (read(found, name, "value_gap").sqrt() for name in ("own", "matched"))
    assert (own > 0.9 * random).all()


def test_a_share_of_the_heads_is_found_and_no_other():
    found = measure(plant(keys="class", values="identity", share=1 / HEADS))
    excess = read(found, "own", "key_percentile") - 50
    assert (excess[:GROUP] > 20).all()
    assert (excess[GROUP:] < MECHANICAL[1]).all()


def test_a_common_vector_of_a_slot_changes_nothing():
    plain, moved = (
        measure(plant(keys="class", values="identity", common=common)) for common in (0.0, 300.0)
    )
    torch.testing.assert_close(plain.numerator, moved.numerator, rtol=0.02, atol=20.0)


def test_frequent_words_are_compared_with_frequent_ones():
    found = measure(plant(keys="identity", values="other", by_key=False, frequent_alike=True))
    assert ((read(found, "own", "key_percentile") - 50).abs() < NO).all()


@pytest.mark.parametrize(
    ("mutant", "planted"),
    [
        ("centred", {"keys": "class", "values": "identity", "common": 300.0}),
        ("functional", {"keys": "class", "values": "identity"}),
        ("own_attention", {"keys": "class", "values": "identity"}),
    ],
)
def test_a_mutant_does_not_find_what_is_there(mutant, planted):
    whole, broken = measure(plant(**planted)), measure(plant(**planted), **{mutant: False})
    assert (read(whole, "own", "key_percentile") > 68).all()
    assert (read(broken, "own", "key_percentile") < 60).all()


def test_without_strata_frequency_is_taken_for_attention():
    planted = plant(keys="identity", values="other", by_key=False, frequent_alike=True)
    broken = measure(planted, conditioned=False)
    assert (read(broken, "own", "key_percentile") > 55).all()
    assert (read(broken, "mismatched_heads", "key_percentile") > 55).all()


def test_matched_pairs_are_average_pairs():
    found = measure(plant(keys="class", values="identity"))
    for statistic, middle in (("key_percentile", 50), ("difference", 0), ("value_lift_5%", 1)):
        of_matched = read(found, "matched", statistic)
        torch.testing.assert_close(
            of_matched, torch.full_like(of_matched, middle), atol=1e-3, rtol=0
        )
    assert (found.find("own", "quadrant")[1].sum(-1) - EVENTS / 4).abs().max() < 1e-6
