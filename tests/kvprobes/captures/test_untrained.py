"""The untrained model's capture is beside the trained one, if it is of the same sentences."""

from __future__ import annotations

import torch

from kvprobes.captures.find import open_untrained
from kvprobes.captures.pairs import capture_pairs
from kvprobes.captures.untrained import capture_untrained
from kvprobes.session import Session
from tests.kvprobes.runs import make_options, save_tiny_model


def prepare(tmp_path, **changes):
    model = tmp_path / "model"
    options = make_options(
        model if model.exists() else save_tiny_model(model), tmp_path / "out", **changes
    )
    said = []
    return options, Session(options.folder, model=options.model, say=said.append), said


def test_it_is_made_once_and_reused(tmp_path):
    options, session, said = prepare(tmp_path)
    trained = capture_pairs(session, options)
    said.clear()
    capture_untrained(session, options)
    capture_untrained(session, options)
    assert [sentence.split()[0] for sentence in said] == ["Capturing", "Reusing"]
    beside = open_untrained(session.folder, trained)
    assert beside.manifest["model"].endswith("untrained (seed 0)")
    assert not torch.equal(beside.read("k", 0), trained.read("k", 0))


def test_one_of_other_sentences_is_not_taken(tmp_path):
    options, session, _ = prepare(tmp_path)
    capture_pairs(session, options)
    capture_untrained(session, options)
    options, session, _ = prepare(tmp_path, templates="1", overwrite=True)
    other = capture_pairs(session, options)
    assert open_untrained(session.folder, other) is None
