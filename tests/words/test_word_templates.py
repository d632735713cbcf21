"""Templates for single words: the schema, the attending word, and the shipped ones."""

from __future__ import annotations

import pandas as pd
import pytest

from probes.errors import TableError, UsageError
from probes.words import fill_word_template, load_word_templates
from probes.words.word_templates import find_word_template_fault


def make(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["template_id", "pos", "text"])


def test_the_shipped_templates_are_enough_for_every_part_of_speech() -> None:
    frame = load_word_templates()
    assert frame.groupby("pos").size().to_dict() == dict.fromkeys("nvax", 4)
    three = load_word_templates(count=3)
    assert three.groupby("pos").size().to_dict() == dict.fromkeys("nvax", 3)
    assert three["template_id"].tolist() == [
        name for name in frame["template_id"] if not name.endswith("3")
    ]


def test_a_filled_template_knows_the_word_and_what_attends() -> None:
    sentence = fill_word_template("They talked about the {word} [for] a while.", "tree", "n00")
    assert sentence.text == "They talked about the tree for a while."
    assert sentence.text[slice(*sentence.modifier_span)] == sentence.modifier == "tree"
    assert sentence.text[slice(*sentence.head_span)] == sentence.head == "for"
    assert sentence.template_id == "n00"
    first = fill_word_template("{word} [is] here.", "red")
    assert first.text == "Red is here."


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("They saw the {word} for a while.", "not exactly one"),
        ("They saw the [word] for a while.", "not exactly one"),
        ("The {word} [ran] and the {word} [sat].", "not exactly one"),
        ("The {word} [very often] ran.", "not exactly one"),
        ("The {head} {word} [ran].", "another field or bracket"),
        ("The {word} [ran] [off].", "another field or bracket"),
    ],
)
def test_faults_are_told(text: str, told: str) -> None:
    assert told in (find_word_template_fault(text) or "")
    with pytest.raises(TableError, match=told):
        fill_word_template(text, "tree")
    with pytest.raises(TableError, match=f"row 2, column text.*{told}"):
        load_word_templates(make(("n0", "n", text)))


def test_tables_with_faults_are_refused() -> None:
    good = "The {word} [ran]."
    with pytest.raises(TableError, match="row 3, column template_id: 'n0' repeats row 2"):
        load_word_templates(make(("n0", "n", good), ("n0", "v", good)))
    with pytest.raises(TableError, match="row 2, column pos: 'adv' is none of n, v, a, x"):
        load_word_templates(make(("n0", "adv", good)))
    uneven = make(("n0", "n", good), ("n1", "n", good), ("v0", "v", good))
    with pytest.raises(TableError, match="2 of n, 1 of v: give every part of speech as many"):
        load_word_templates(uneven)
    assert load_word_templates(uneven, count=1)["template_id"].tolist() == ["n0", "v0"]
    with pytest.raises(UsageError, match="count is 2"):
        load_word_templates(uneven, count=2)
