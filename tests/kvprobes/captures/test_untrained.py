"""The untrained model's capture is beside the trained one, if it is of the same sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from kvprobes.captures.find import open_untrained
from kvprobes.captures.pairs import capture_pairs
from kvprobes.captures.untrained import capture_untrained
from kvprobes.session import Session
from probes.capture.located import match_occurrences
from probes.errors import StoreError
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
    assert [sentence.split()[0] for sentence in said] == ["Capturing", "It", "Reusing"]
    beside = open_untrained(session.folder, trained)
    assert beside.manifest["model"].endswith("untrained (seed 0)")
    assert not torch.equal(beside.read("k", 0), trained.read("k", 0))


def test_it_reads_a_sample_unless_all_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("kvprobes.captures.untrained.SAMPLE", 21)
    options, session, said = prepare(tmp_path)
    trained = capture_pairs(session, options)
    capture_untrained(session, options)
    beside = open_untrained(session.folder, trained)
    assert len(beside.table("pairs")) == 21 < len(trained.table("pairs"))
    rows = match_occurrences(trained, beside)
    there, here = beside.table("occurrences"), trained.table("occurrences")
    assert 0 < int((rows >= 0).sum()) == len(there) < len(here)
    for name in ("word", "template_id"):
        assert list(here[name][(rows >= 0).numpy()]) == list(there[name].iloc[rows[rows >= 0]])
    with pytest.raises(StoreError, match=r"holds no 'x\.0'"):
        beside.read("x", 0)
    said.clear()
    capture_untrained(session, options)
    capture_untrained(session, replace(options, full=True))
    assert [sentence.split()[0] for sentence in said] == ["Reusing", "Capturing", "It"]
    whole = open_untrained(session.folder, trained)
    assert len(whole.table("pairs")) == len(trained.table("pairs"))


def test_one_of_other_sentences_is_not_taken(tmp_path):
    options, session, _ = prepare(tmp_path)
    capture_pairs(session, options)
    capture_untrained(session, options)
    options, session, _ = prepare(tmp_path, templates="1", overwrite=True)
    other = capture_pairs(session, options)
    assert open_untrained(session.folder, other) is None
