"""Settings from text, from files and from Python: every type, and every way to be wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyses import list_questions
from analyses.shared.settings import list_settings, read_settings, setting
from probes.errors import UsageError


@dataclass(frozen=True)
class ToySettings:
    """One of each kind."""

    count: int = setting(5, "How many.", at_least=1, at_most=100)
    share: float = setting(0.5, "What part.")
    whether: bool = setting(False, "Whether at all.")
    probe: Literal["ridge", "logistic"] = setting("ridge", "Which probe.")
    sizes: tuple[int, ...] = setting((1, 2), "Which sizes.", at_least=1)
    names: tuple[str, ...] | None = setting(None, "Which names; none: all.")
    parts: tuple[Literal["keys", "values"], ...] = setting(("keys",), "Which parts.")
    limit: int | None = setting(None, "At most this many.")
    some_word: str = setting("fox", "A word.")


def read(**asked):
    return read_settings(ToySettings, asked, of="toy")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", "7", 7),
        ("share", "1e-3", 0.001),
        ("share", "2", 2.0),
        ("whether", "yes", True),
        ("whether", "False", False),
        ("probe", "logistic", "logistic"),
        ("sizes", "4, 5,6", (4, 5, 6)),
        ("sizes", "4", (4,)),
        ("sizes", "", ()),
        ("names", "a, b", ("a", "b")),
        ("names", "None", None),
        ("parts", "values,keys", ("values", "keys")),
        ("limit", "12", 12),
        ("limit", "none", None),
        ("some-word", "none", "none"),
        ("some_word", "12", "12"),
    ],
)
def test_text_becomes_the_type_of_the_setting(name, text, value):
    found = getattr(read(**{name: text}), name.replace("-", "_"))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("count", 7), ("share", 2), ("whether", True), ("sizes", [4, 5]), ("parts", ("values",))],
)
def test_values_of_a_file_or_of_python_are_taken_as_they_are(name, value):
    found = getattr(read(**{name: value}), name)
    assert found == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("count", "many", "toy.count cannot be 'many'"),
        ("count", "0", "give at least 1. Its default is 5."),
        ("count", 101, "give at most 100"),
        ("count", True, "toy.count cannot be True"),
        ("count", 1.5, "toy.count cannot be 1.5"),
        ("count", None, "toy.count cannot be None"),
        ("share", "nan", "give a finite number"),
        ("share", math.inf, "give a finite number"),
        ("whether", "perhaps", "toy.whether cannot be 'perhaps'"),
        ("whether", 1, "toy.whether cannot be 1"),
        ("probe", "logistik", "Did you mean 'logistic'? There are: ridge, logistic."),
        ("probe", 3, "toy.probe cannot be 3"),
        ("sizes", "1,x", "toy.sizes cannot be '1,x'"),
        ("sizes", (1, 0), "give at least 1"),
        ("sizes", 4, "toy.sizes cannot be 4"),
        ("parts", "keys,queries", "no value of toy.parts 'queries'"),
        ("counts", 4, "there is no setting of toy 'counts'. Did you mean 'count'?"),
    ],
)
def test_what_does_not_fit_is_told_with_what_would(name, value, told):
    with pytest.raises(UsageError) as caught:
        read(**{name: value})
    assert told in str(caught.value)


@given(st.integers(1, 100), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_what_is_written_is_read_back(count, share, whether):
    asked = {"count": count, "share": share, "whether": whether}
    assert read(**{name: str(value) for name, value in asked.items()}) == read(**asked)


@given(st.lists(st.integers(1, 10**6)))
def test_lists_are_read_back(sizes):
    assert read(sizes=",".join(map(str, sizes))).sizes == tuple(sizes)


def test_options_and_forms():
    fields = list_settings(ToySettings)
    assert fields["some_word"].option == "--some-word"
    assert {name: field.form for name, field in fields.items()} == {
        "count": "INTEGER",
        "share": "NUMBER",
        "whether": "yes|no",
        "probe": "ridge|logistic",
        "sizes": "INTEGER,...",
        "names": "TEXT,...",
        "parts": "keys|values,...",
        "limit": "INTEGER",
        "some_word": "TEXT",
    }


@pytest.mark.parametrize("question", list_questions().values(), ids=lambda q: q.name)
def test_every_setting_of_every_question_says_what_it_is_and_reads_its_own_default(question):
    for name, field in list_settings(question.settings).items():
        assert field.told.endswith("."), name
        text = field.default
        if isinstance(text, tuple):
            text = ",".join(map(str, text))
        found = read_settings(question.settings, {name: str(text)}, of=question.name)
        assert found == question.settings(), name
