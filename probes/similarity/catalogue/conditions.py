"""Under which conditions keys and values are compared: as trained, and every null.

This list is the only one: tables, figures, report, docs and tests read it. A null is a condition in
which something that training may have brought about is broken, and everything else is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from probes.naming import require_known

TRAINED = "trained"


@dataclass(frozen=True)
class Condition:
    """One condition.

    Attributes
    ----------
    name
        As in result tables.
    label
        The same in plain words, for figures and text.
    colour, marker
        In every figure the same; Okabe & Ito (2008), Tol.
    keeps, breaks
        What a null leaves as trained, and what it takes away.
    unit
        What the samples of a null are: ``heads``, or permutations of the ``words``.
    """

    name: str
    label: str
    colour: str
    marker: str
    keeps: str
    breaks: str
    unit: str = "heads"


_CONDITIONS: dict[str, Condition] = {}


def register_condition(condition: Condition) -> Condition:
    """Add a condition to the list; it then stands in every table, figure and text."""
    _CONDITIONS[condition.name] = condition
    return condition


for _condition in (
    Condition(TRAINED, "trained heads", "#0072B2", "o", "everything", "nothing"),
    Condition(
        "mismatched_heads",
        "mismatched heads",
        "#D55E00",
        "s",
        "the trained keys and values of a layer",
        "which of them belong to one head: keys of one, values of another",
    ),
    Condition(
        "random_heads",
        "random heads",
        "#009E73",
        "^",
        "the trained input of the layer, and the shapes of the weights",
        "the weights: W_Q, W_K, W_V and W_O with independent Gaussian entries",
    ),
    Condition(
        "random_slice",
        "random slice of x",
        "#CC79A7",
        "D",
        "the trained input of the layer, and the trained values",
        "the keys: as many random directions of the input stand in their place",
    ),
    Condition(
        "shuffled_words",
        "shuffled words",
        "#E69F00",
        "v",
        "the keys of all words, and the values of all words",
        "which value belongs to which word",
        "words",
    ),
    Condition(
        "matched_words",
        "matched words",
        "#56B4E9",
        "<",
        "the same, and frequency, number of tokens and part of speech of the words",
        "which value belongs to which word among words alike in these",
        "words",
    ),
    Condition(
        "mismatched_layers",
        "mismatched layers",
        "#882255",
        ">",
        "the trained keys, and the trained values of the same head in another layer",
        "that both are of one layer",
    ),
    Condition(
        "orthonormal_heads",
        "orthonormal heads",
        "#117733",
        "p",
        "the trained input of the layer, and the shapes of the weights",
        "the weights: random orthonormal rows",
    ),
    Condition(
        "spectrum_heads",
        "spectrum heads",
        "#999933",
        "h",
        "the trained input of the layer, and the singular values of the trained weights",
        "the directions of the weights",
    ),
    Condition(
        "untrained_model",
        "untrained model",
        "#666666",
        "X",
        "the architecture, the sentences, and how its code draws weights",
        "all training",
    ),
):
    register_condition(_condition)


def list_conditions() -> Iterator[Condition]:
    """Yield all conditions, as trained first."""
    yield from list(_CONDITIONS.values())


def list_nulls() -> Iterator[Condition]:
    """Yield all conditions but the trained one."""
    return (condition for condition in list_conditions() if condition.name != TRAINED)


def find_condition(name: str) -> Condition:
    """Return a condition by name.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    require_known("condition", name, _CONDITIONS)
    return _CONDITIONS[name]


def name_difference(null: str) -> str:
    """Name the difference of trained heads and a null, as tables have it."""
    return f"{TRAINED} - {null}"


def sort_conditions(names: Iterable[str]) -> list[str]:
    """Put names of conditions in the order of the list.

    Raises
    ------
    UsageError
        If one is not in the list: it must not vanish from a table or a figure.
    """
    present = set(names)
    for name in present:
        require_known("condition", name, _CONDITIONS)
    return [name for name in _CONDITIONS if name in present]
