"""A modifier before many heads runs once, and what is read is the same."""

import pandas as pd
import pytest
import torch

from probes.capture import plan_capture
from probes.capture.batch import BatchRunner, batches
from probes.capture.stems import Branches, branch
from tests.capture.examples import TEMPLATES, merge
from tests.tiny import tiny_model

MANY = pd.DataFrame(
    [(head, "black", "zest") for head in ("fox", "dog", "house", "tree", "quiet")]
    + [(head, "red", "small") for head in ("fox", "dog", "house")],
    columns=["head", "m1", "m2"],
)


@pytest.mark.parametrize("take", ["last", "mean"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_what_goes_on_from_a_stem_reads_as_it_does_alone(family, take):
    model = tiny_model(family)
    plan = plan_capture(model.tokenizer, MANY, TEMPLATES, take=take)
    runner = BatchRunner(model, key_stage="normed", take=take, sampled=frozenset({0, 9}))
    counted = []
    model.trunk.register_forward_pre_hook(
        lambda _, args, given: counted.append(given["input_ids"].numel()), with_kwargs=True
    )
    with runner.attached():
        plain = [runner.run(batch) for batch in batches(plan.sequences, 4)]
        of_plain = sum(counted)
        found = list(runner.read(plan.sequences, 4))
    read, expected = merge([reading for _, reading in found]), merge(plain)
    assert read.keys() == expected.keys()
    for name, rows in expected.items():
        torch.testing.assert_close(read[name], rows, atol=1e-5, rtol=1e-4)
    assert sum(counted) - of_plain < 0.9 * of_plain


def test_the_order_stays_and_few_compounds_of_many_words_are_left_together():
    model = tiny_model("llama")
    sequences = plan_capture(model.tokenizer, MANY, TEMPLATES.iloc[:1]).sequences
    parts = list(branch(sequences, 2))
    rests = [
        one
        for part in parts
        for one in (sum(part.batches, ()) if isinstance(part, Branches) else part)
    ]
    assert [one.queries for one in rests] == [one.queries for one in sequences]
    stems = [part.stems for part in parts if isinstance(part, Branches)]
    assert stems
    assert all(len({len(stem.ids) for stem in own}) == 1 and len(own) <= 2 for own in stems)
    few = plan_capture(model.tokenizer, MANY.iloc[:1], TEMPLATES).sequences
    assert not any(isinstance(part, Branches) for part in branch(few, 8))
