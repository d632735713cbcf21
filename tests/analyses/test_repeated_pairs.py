"""Pairs that are the same to a causal model count once: repeating rows of a table moves nothing."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pandas as pd
import pytest
import torch

from analyses import find_question
from analyses.co_attended.sources import measure_sentences
from analyses.divergence import DivergenceSettings
from analyses.meaning import MeaningSettings
from analyses.nulls import NullSettings
from analyses.premise import PremiseSettings
from analyses.relations import RelationsSettings
from analyses.shared.given import Given
from probes.capture import CaptureSettings, capture, plan_capture
from probes.capture.contexts import ContextPairs
from probes.capture.plan_contexts import plan_coordination
from probes.linear.shipped_properties import list_word_properties
from probes.words import load_templates
from probes.words.coordination import load_coordinations
from tests.analyses.related_words import (
    make_compounds,
    make_relations,
    write_compounds,
    write_words,
)
from tests.sealing import replace_table
from tests.tiny import tiny_model

HEADS = ("fox", "dog", "cat", "tree", "house")
MODIFIERS = tuple(f"{first}{second}" for first in ("a", "be", "co", "du") for second in "lmnrst")
AROUND = (*MODIFIERS[1:], MODIFIERS[0], *MODIFIERS[3:], *MODIFIERS[:3])


def repeat(store, folder, *, turned, other_head=False):
    """Copy a capture whose table of pairs has rows again, as they are and with sides exchanged."""
    shutil.copytree(store.folder, folder)
    pairs = store.table("pairs")
    names = {old: new for one, two in turned for old, new in ((one, two), (two, one))}
    more = [pairs.sample(frac=0.5, random_state=0), pairs.rename(columns=names)[pairs.columns]]
    if other_head:  # before which both words were captured too
        known = set(store.table("queries")[["head", "modifier"]].itertuples(index=False, name=None))
        more += [
            pairs.assign(head=head)[
                [
                    (head, m1) in known and (head, m2) in known
                    for m1, m2 in pairs[["m1", "m2"]].values
                ]
            ]
            for head in HEADS
        ]
    longer = pd.concat([pairs, *more], ignore_index=True)
    assert len(longer) > 2.4 * len(pairs)
    if "pair_id" in longer:
        longer["pair_id"] = [f"p{row}" for row in range(len(longer))]
    return replace_table(folder, "pairs", longer)


@pytest.fixture(scope="module")
def compounds(tmp_path_factory):
    """Captures of compounds and of coordinations, as they are and with rows repeated."""
    model, folder = tiny_model("llama", n_layers=1), tmp_path_factory.mktemp("once")
    pairs = pd.DataFrame(
        [
            (f"p{n}", HEADS[n % len(HEADS)], *words)
            for n, words in enumerate(zip(MODIFIERS * 2, AROUND, strict=True))
        ],
        columns=["pair_id", "head", "m1", "m2"],
    )
    settings = CaptureSettings(dtype="float32")
    plan = plan_capture(model.tokenizer, pairs, load_templates(count=2))
    store = capture(model, plan, folder / "pairs", settings=settings)
    plan = plan_coordination(model.tokenizer, pairs, load_coordinations(count=2))
    contexts = capture(model, plan, folder / "contexts", settings=settings)
    once = Given(store=store, contexts=contexts)
    sides = [(f"left{part}", f"right{part}") for part in ("", "_word", "_query")]
    return once, replace(
        once,
        store=repeat(store, folder / "more", turned=[("m1", "m2")], other_head=True),
        contexts=repeat(contexts, folder / "more-contexts", turned=sides),
    )


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    store, relations = (
        write_compounds(folder, make_compounds().drop(columns=["z_m1", "z_m2"])),
        write_words(folder, make_relations()),
    )
    again = repeat(relations, folder / "more-words", turned=[])
    once = Given(store=store, words={"relations": relations})
    return once, replace(
        once,
        store=repeat(store, folder / "more", turned=[("m1", "m2")]),
        words={"relations": again},
    )


SETTINGS = {
    "divergence": DivergenceSettings(resamples=6, random_pairs=20, bins=4, draws=1),
    "nulls": NullSettings(permutations=6, draws=1, neighbour_words=22),
    "premise": PremiseSettings(resamples=6, attended=0.4),
    "relations": RelationsSettings(resamples=6, references=60),
    "meaning": MeaningSettings(resamples=6),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_repeated_rows_move_no_number(name, request):
    given = request.getfixturevalue("words" if name in ("relations", "meaning") else "compounds")
    once, more = (find_question(name).compute(each, SETTINGS[name]) for each in given)
    assert once.keys() == more.keys()
    for table, found in once.items():
        pd.testing.assert_frame_equal(
            found.drop(columns="pair_id", errors="ignore"),
            more[table].drop(columns="pair_id", errors="ignore"),
            obj=table,
        )


@pytest.mark.parametrize("source", ["coordination", "two queries"])
def test_repeated_events_move_no_number(source, compounds):
    once, more = (
        measure_sentences(
            given.contexts if source == "coordination" else given.store,
            ContextPairs.of(given.contexts)
            if source == "coordination"
            else ContextPairs.of_compounds(given.store),
            source,
            share=0.25,
            seed=0,
        )
        for given in compounds
    )
    pd.testing.assert_frame_equal(once.heads, more.heads)
    assert (once.units, once.selected) == (more.units, more.selected)
    assert str(once.sizes) == str(more.sizes)
    for name, mean in once.means.items():
        assert torch.equal(mean.observed, more.means[name].observed)


def test_properties_of_pairs_have_each_pair_once(words):
    found = [list_word_properties(given.words["relations"], "")[0] for given in words]
    assert [one.name for one in found[0]] == [one.name for one in found[1]]
    assert found[0]
    for once, more in zip(*found, strict=True):
        assert len(once.labels) == len(more.labels)
