"""Progress where nobody watches: a line every so often, with the time left; or nothing."""

import re
import time

import pytest

from probes import progress


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.02)


def test_a_log_file_gets_lines_with_the_time_left(often, capsys):
    with progress.progress_bar("Capturing", total=4) as advance:
        advance(1)
        time.sleep(0.1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert all(re.fullmatch(r"Capturing: 25 %, about 0:00:\d\d left", line) for line in lines)
    time.sleep(0.05)
    assert capsys.readouterr().err == ""  # it is over


def test_it_ends_with_an_error_too(often, capsys):
    with pytest.raises(ValueError, match="no"), progress.progress_bar("Capturing", total=4):
        raise ValueError("no")
    capsys.readouterr()
    time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_silence_is_silent(often, capsys):
    progress.silence_progress(True)
    try:
        with progress.progress_bar("Capturing", total=4):
            time.sleep(0.05)
    finally:
        progress.silence_progress(False)
    assert capsys.readouterr().err == ""
