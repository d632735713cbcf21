"""Settings of questions from words and from a file."""

from __future__ import annotations

import pytest

from kvprobes.command.settings import gather_settings
from probes.errors import UsageError


def test_words_stand_above_the_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[nulls]\ndraws = 2\nseed = 1\n[probing]\nprobe = "logistic"\n')
    words = ["nulls.draws=3", " premise.attended = 0.5 ", "nulls.seed=a=b", "nulls.seed=4"]
    assert gather_settings(words, file) == {
        "nulls": {"draws": "3", "seed": "4"},
        "probing": {"probe": "logistic"},
        "premise": {"attended": "0.5"},
    }
    assert gather_settings(["nulls.seed=a=b"], None) == {"nulls": {"seed": "a=b"}}
    assert gather_settings([], None) == {}


@pytest.mark.parametrize("word", ["draws=3", "nulls.draws", "nulls.=3", ".draws=3", "nulls", ""])
def test_what_is_not_of_the_form_is_refused(word):
    with pytest.raises(UsageError, match=r"QUESTION\.SETTING=VALUE, such as"):
        gather_settings([word], None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"resamples = 3", "holds 'resamples' outside any table"),
        (b"[nulls\n", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path, content, told):
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=told) as caught:
        gather_settings([], file)
    assert str(file) in str(caught.value)
