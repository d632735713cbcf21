"""How long questions took is remembered from one command to the next, and never in the way."""

from __future__ import annotations

import pytest

from kvprobes.timings import FILE, Clock, note_timing, read_timings


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr("kvprobes.timings.cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_each_question_has_the_time_it_took_last():
    assert read_timings() == {}
    note_timing("premise", 12.345678)
    note_timing("nulls", 3.0)
    note_timing("premise", 10.0)
    assert read_timings() == {"premise": 10.0, "nulls": 3.0}


@pytest.mark.parametrize("content", ["{", "[1]", '{"premise": "soon"}', '{"premise": null}'])
def test_a_damaged_file_is_begun_anew(cache, content):
    cache.mkdir()
    (cache / FILE).write_text(content, encoding="utf-8")
    assert read_timings() == {}
    note_timing("premise", 2.0)
    assert read_timings() == {"premise": 2.0}


def test_a_cache_that_cannot_be_written_is_no_error(cache):
    cache.write_text("a file in the place of the folder", encoding="utf-8")
    note_timing("premise", 2.0)
    assert read_timings() == {}


def test_a_clock_says_which_question_and_how_long_the_rest_takes(monkeypatch):
    monkeypatch.setattr("kvprobes.timings.read_timings", lambda: {"a": 100.0, "b": 30.0})
    clock = Clock(["a", "b"])
    assert clock.announce("a", "First") == "[1/2] First, about 2 min left"
    assert clock.announce("b", "Second") == "[2/2] Second, about 30 s left"
    unknown = Clock(["a", "c"])
    assert unknown.announce("a", "First") == "[1/2] First"
