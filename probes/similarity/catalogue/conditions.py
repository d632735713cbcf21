"""Under which conditions keys and values are compared: as trained, and every null.

Each null is in a file, and `FILES` names the files; tables, figures, report, docs and tests go
through this list. To add a null, write its file with a tuple ``CONDITIONS`` of
`probes.similarity.condition.Condition`, and name it here.
"""

from __future__ import annotations

from probes.similarity.catalogue.registry import Registry
from probes.similarity.condition import TRAINED as TRAINED
from probes.similarity.condition import Condition

FILES = (
    "probes.similarity.shuffled",
    "probes.similarity.mismatched",
    "probes.similarity.random_heads",
    "probes.similarity.untrained",
    "probes.similarity.attention_nulls",
)

_CONDITIONS: Registry[Condition] = Registry("condition")
_CONDITIONS.register(
    Condition(
        TRAINED,
        "trained heads",
        "#0072B2",
        "o",
        line="-",
        keeps="everything",
        breaks="nothing",
        meaning="The keys and the values of one kv head, as trained.",
    )
)
_CONDITIONS.load(FILES, "CONDITIONS")
list_conditions, find_condition = _CONDITIONS.entries, _CONDITIONS.find
register_condition, unregister_condition = _CONDITIONS.register, _CONDITIONS.unregister
sort_conditions = _CONDITIONS.sort


def list_nulls() -> tuple[Condition, ...]:
    """Return all conditions but the trained one."""
    return tuple(condition for condition in list_conditions() if condition.name != TRAINED)


def name_difference(null: str) -> str:
    """Name the difference of trained heads and a null, as tables have it."""
    return f"{TRAINED} - {null}"
